"""What the pods of a Job tell: what they wait for, and how those that failed ended.

It has to be allowed in the namespace to list pods and events. Else it knows less, and says so once.
"""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from scorer.cluster.api import Api, Body, limits, said

logger = logging.getLogger(__name__)

_JOB: Final = "batch.kubernetes.io/job-name"
_INDEX: Final = "batch.kubernetes.io/job-completion-index"
_ON_THE_WAY: Final = {"ContainerCreating", "PodInitializing"}


class Pods:
    """The pods of one Job. Raises Unavailable when the API stays away."""

    def __init__(self, api: Api, job: str) -> None:
        self._api, self._job = api, job
        self._core: Any = client.CoreV1Api(api.client)  # it takes more than its types say
        self._forbidden: set[str] = set()

    def waiting_for(self) -> dict[str, int]:
        """What keeps pods from running, in the cluster's words -> how many it keeps; most first."""
        pending = [pod for pod in self._pods() if pod["status"].get("phase") == "Pending"]
        reasons = {pod["metadata"]["name"]: _held_by(pod["status"]) for pod in pending}
        if not reasons or not all(reasons.values()):
            warnings = self._warnings()
            reasons = {name: why or warnings.get(name) for name, why in reasons.items()}
            reasons |= {self._job: warnings[self._job]} if not pending and self._job in warnings else {}
        return dict(Counter(filter(None, reasons.values())).most_common())

    def exit_codes(self) -> dict[int, set[int]]:
        """Index -> the exit codes of its pods that failed and are still known."""
        codes: dict[int, set[int]] = defaultdict(set)
        for pod in self._pods():
            index = (pod["metadata"].get("annotations") or {}).get(_INDEX)
            if index is not None and pod["status"].get("phase") == "Failed":
                codes[int(index)].update(_codes(pod["status"]))
        return dict(codes)

    def _pods(self) -> list[Body]:
        return self._list("pods", self._core.list_namespaced_pod, label_selector=f"{_JOB}={self._job}")

    def _warnings(self) -> dict[str, str]:
        """Name of the Job or of a pod -> what was last reported of it."""
        events = self._list("events", self._core.list_namespaced_event, field_selector="type=Warning")
        events.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
        return {event["involvedObject"].get("name", ""): _in_words(event) for event in events}

    def _list(self, resource: str, call: Callable[..., Any], **selected: str) -> list[Body]:
        # As the API has them: the client's own types would refuse what is newer than they are.
        try:
            answer = self._api.ask(
                lambda: call(self._api.namespace, _preload_content=False, **selected, **limits())
            )
        except ApiException as error:
            if resource not in self._forbidden:
                self._forbidden.add(resource)
                logger.warning("the Kubernetes API does not tell of %s: %s", resource, said(error))
            return []
        items: list[Body] = json.loads(answer.data)["items"]
        return items


def _held_by(status: Body) -> str | None:
    """Why a pending pod does not run, None if it only just began or does not say."""
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _in_words(condition)
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in {None, *_ON_THE_WAY}:
            return _in_words(waiting)
    return None


def _codes(status: Body) -> Iterator[int]:
    for container in status.get("containerStatuses") or []:
        ended = (container.get("state") or {}).get("terminated")
        if ended:
            yield int(ended["exitCode"])


def _in_words(state: Body) -> str:
    return ": ".join(" ".join(part.split()) for part in (state.get("reason"), state.get("message")) if part)
