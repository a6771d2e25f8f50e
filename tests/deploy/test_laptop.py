"""The overlay local-cpu fits the cluster that kind makes on a small machine."""

from tests import markdown
from tests.deploy.compositions import COMPOSITIONS, ROOT
from tests.deploy.manifests import render
from tests.deploy.quantities import amount
from tests.markdown import Page

PAGE = Page.read(ROOT / "docs/kubernetes.md")
(LOCAL,) = [composition for composition in COMPOSITIONS if composition.name == "local-cpu"]

OF_THE_CLUSTER = {"cpu": 0.95, "memory": 290 * 2**20}
"""What kind's own pods ask for on its node: the API server 250m, the controller manager 200m; etcd, the
scheduler, kindnet and two of CoreDNS 100m each."""


def test_all_pods_fit_at_once_in_a_rollout_too() -> None:
    rows = PAGE.section("On a laptop").table("resource")
    node = {row["resource"].text: markdown.amount(row["at least"].text) for row in rows}
    assert set(node) == set(OF_THE_CLUSTER)
    rendering = render(LOCAL)
    surge = rendering.pods("fovea-serve").manifest["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    workers = int(rendering.pods("fovea-score").environment()["FOVEA_SCORE_WORKERS"])
    pods = {"fovea-serve": 1 + surge, "fovea-score": 1, "fovea-score-work": workers, "fovea-train": 1}
    for resource, there_is in node.items():
        asked = sum(
            count * amount(rendering.pods(name).container["resources"]["requests"][resource])
            for name, count in pods.items()
        )
        assert asked + OF_THE_CLUSTER[resource] <= there_is, resource
