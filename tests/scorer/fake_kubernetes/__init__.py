"""The part of a Kubernetes API server, and of its Job controller, that `drive` meets, over real HTTP.

It knows by the token who asks, and lets them do what Roles say: those in deploy/base at first.
It keeps Jobs, refuses those that are not valid, lists and watches them by version, and fails when a test says
so. With `runs_pods` each index of a Job is a process that does what its container says, restarted as the
Job's policies have it.
"""

from tests.scorer.fake_kubernetes.api_server import running
from tests.scorer.fake_kubernetes.authorization import ADMINISTRATOR, Rights
from tests.scorer.fake_kubernetes.cluster import FakeKubernetes
from tests.scorer.fake_kubernetes.job_controller import condition
from tests.scorer.fake_kubernetes.statuses import Failure

__all__ = ["ADMINISTRATOR", "Failure", "FakeKubernetes", "Rights", "condition", "running"]
