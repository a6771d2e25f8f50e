"""The Kubernetes API: who to ask as, and how long an API that is busy or away is waited for."""

import json
import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from fovea.errors import Unavailable
from fovea.foreground import interruptibly, sleep

logger = logging.getLogger(__name__)

T = TypeVar("T")
Body = dict[str, Any]

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
PATIENCE_S: Final = 600.0
"""An API that does not answer for so long is given up. An upgrade of a control plane takes less."""

CONNECT_S: Final = 10
ANSWER_S: Final = 30

BUSY: Final = frozenset({429, 500, 502, 503, 504})
Failed: Final = (ApiException, urllib3.exceptions.HTTPError)

NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Api:
    """One namespace's part of it."""

    client: client.ApiClient
    namespace: str

    def ask(self, call: Callable[[], T]) -> T:
        """The call's result. An API that is busy or away is asked again, up to PATIENCE_S.

        Raises Unavailable after that, ApiException when the API refuses what is asked.
        """
        pause = Pause()
        while True:
            try:
                return interruptibly(call)
            except Failed as error:
                if isinstance(error, ApiException) and not _is_busy(error):
                    raise
                pause.wait(error)


def connect(namespace: str | None) -> Api:
    """The namespace that is given; by default of the pod's own, or of the kubeconfig's current context.

    Nothing is contacted yet. Raises Unavailable when no cluster is configured.
    """
    settings = client.Configuration()
    try:
        config.load_incluster_config(settings)
        own = NAMESPACE_FILE.read_text().strip() if namespace is None else namespace
    except ConfigException as error:
        own = _load_kubeconfig(settings, error)
    settings.retries = False  # what is tried again, and when, is decided here
    return Api(client.ApiClient(settings), namespace or own)


def _load_kubeconfig(settings: client.Configuration, not_in_pod: ConfigException) -> str:
    """The current context's namespace."""
    file = os.environ.get("KUBECONFIG")  # the client would take what it was when it was imported
    try:
        config.load_kube_config(file, client_configuration=settings)
        _, current = config.list_kube_config_contexts(file)
    except (ConfigException, yaml.YAMLError, OSError) as error:
        raise Unavailable(
            f"no cluster to work on: no pod's account ({not_in_pod}), and no kubeconfig ({error})"
        ) from error
    return str(current["context"].get("namespace") or "default")


@dataclass
class Pause:
    """Between one try and the next: longer each time. Raises Unavailable PATIENCE_S after the first."""

    wait_s: float = field(default_factory=lambda: FIRST_WAIT_S)
    since: float | None = None
    """When the first try failed after the last answer."""

    def wait(self, error: Exception) -> None:
        why, now = said(error), time.monotonic()
        self.since = now if self.since is None else self.since
        if now - self.since > PATIENCE_S:
            raise Unavailable(f"the Kubernetes API has not answered for {PATIENCE_S:.0f} s: {why}") from error
        logger.warning("the Kubernetes API is away; trying again", extra={"said": why})
        sleep(max(self.wait_s * random.uniform(0.5, 1.0), _retry_after_s(error)))
        self.wait_s = min(2 * self.wait_s, LONGEST_WAIT_S)


def _is_busy(error: ApiException) -> bool:
    """Also when two requests met at one object, such as the namespace's ResourceQuota."""
    return error.status in BUSY or (error.status, reason(error)) == (409, "Conflict")


def _retry_after_s(error: Exception) -> float:
    headers = error.headers if isinstance(error, ApiException) else None
    asked = (headers or {}).get("Retry-After", "0")
    return min(float(asked), LONGEST_WAIT_S) if asked.isdecimal() else 0.0


def said(error: Exception) -> str:
    """The API's own sentence, where it has one."""
    if not isinstance(error, ApiException):
        return str(error)
    return _status(error).get("message") or f"{error.status} {error.reason}"


def reason(error: ApiException) -> str | None:
    """The API's word for it, which tells more than the status."""
    return _status(error).get("reason")


def _status(error: ApiException) -> Body:
    """The Status that the API answered with, empty if what answered was no API server."""
    try:
        status = json.loads(error.body or "")
    except (TypeError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def limits(answer_s: float = ANSWER_S) -> dict[str, Any]:
    """How long a call of the client may take to connect, and to answer."""
    return {"_request_timeout": (CONNECT_S, answer_s)}
