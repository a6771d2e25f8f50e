"""The Jobs of a namespace, through the Kubernetes API.

It has to be allowed there to create, list and watch Jobs, and to get the CronJob that is their template.
"""

import json
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import urllib3
import yaml
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from fovea.errors import FoveaError, SettingsInvalid, Unavailable
from fovea.foreground import interruptibly, sleep

logger = logging.getLogger(__name__)

T = TypeVar("T")
Body = dict[str, Any]

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
PATIENCE_S: Final = 600.0
"""An API that does not answer for so long is given up. An upgrade of a control plane takes less."""

_CONNECT_S, _ANSWER_S, _WATCH_S = 10, 30, 240
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_GONE: Final = 410
_Failed = (ApiException, urllib3.exceptions.HTTPError)

_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Jobs:
    """The Jobs of one namespace. Every method waits for an API that is busy or away, up to PATIENCE_S.

    Raises Unavailable after that, and when the API refuses what is asked.
    """

    def __init__(self, api: client.BatchV1Api, namespace: str) -> None:
        self._api: Any = api  # it takes and gives more than its types say
        self.namespace = namespace

    def template_of(self, cron_job: str) -> Body:
        """The Job that this CronJob would create, without a name. Raises SettingsInvalid if there is none."""
        try:
            found = self._ask(lambda: self._read(cron_job))
        except ApiException as error:
            if error.status == 404:
                where = f"in the namespace {self.namespace}"
                raise SettingsInvalid(f"--job-template cronjob/{cron_job}: there is none {where}") from error
            what = f"CronJob {self.namespace}/{cron_job}"
            raise Unavailable(f"{what} cannot be read: the Kubernetes API says: {_said(error)}") from error
        template = found["spec"]["jobTemplate"]
        metadata = template.get("metadata") or {}
        kept = {key: metadata[key] for key in ("labels", "annotations") if key in metadata}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": kept, "spec": template["spec"]}

    def create(self, body: Body) -> bool:
        """False if there is a Job of this name already. Raises SettingsInvalid for a body that is refused."""
        try:
            self._ask(lambda: self._post(body))
        except ApiException as error:
            if _reason(error) == "AlreadyExists":
                return False
            if error.status in {400, 404, 422}:
                raise SettingsInvalid(f"the Kubernetes API does not take the Job: {_said(error)}") from error
            raise self._failure("created", error) from error
        return True

    def follow(self, name: str) -> Iterator[Body]:
        """The Job as it is, and then each time that it changes; without an end, unless it is deleted.

        Raises Unavailable then.
        """
        pause = _Pause()
        while True:
            job, version = self._look(name)
            pause.since = None  # the API is there; but watches that break are begun less and less often
            yield job
            begun = time.monotonic()
            try:
                for job in self._changes(name, version):
                    pause = _Pause()
                    yield job
                pause = _Pause()
                # An API server that is about to leave ends every watch as soon as it has begun.
                sleep(begun + FIRST_WAIT_S - time.monotonic())
            except _Failed as error:
                # Whatever ended the watch, the list tells what was missed meanwhile.
                if isinstance(error, ApiException) and error.status not in {*_BUSY, _GONE}:
                    raise self._failure("watched", error) from error
                pause.wait(error)

    def _look(self, name: str) -> tuple[Body, str]:
        """The Job, and the list's version, from which a watch goes on. (The Job's own may be too old.)"""
        selector = f"metadata.name={name}"
        try:
            found = self._ask(
                lambda: self._api.list_namespaced_job(
                    self.namespace, field_selector=selector, **_limits(_ANSWER_S)
                )
            )
        except ApiException as error:
            raise self._failure("listed", error) from error
        if not found.items:
            raise self._deleted(name)
        job: Body = self._api.api_client.sanitize_for_serialization(found.items[0])
        return job, str(found.metadata.resource_version)

    def _post(self, body: Body) -> None:
        """As it is: the client's own types would refuse the fields of a Kubernetes newer than they are.

        What the API does not know it refuses when told to; by itself it would leave it out.
        """
        api = self._api.api_client
        request = api.param_serialize(
            method="POST",
            resource_path="/apis/batch/v1/namespaces/{namespace}/jobs",
            path_params={"namespace": self.namespace},
            query_params=[("fieldValidation", "Strict")],
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = api.call_api(*request, **_limits(_ANSWER_S))
        answer.read()
        api.response_deserialize(answer, {})  # which raises ApiException for all but success

    def _read(self, cron_job: str) -> Body:
        """As the API has it: the client's own types would drop the fields that they do not know."""
        limits = _limits(_ANSWER_S)
        answer = self._api.read_namespaced_cron_job(
            cron_job, self.namespace, _preload_content=False, **limits
        )
        found: Body = json.loads(answer.data)
        return found

    def _changes(self, name: str, version: str) -> Iterator[Body]:
        """What happens to the Job after this version, until the API closes the watch, as it does at times."""
        events = watch.Watch().stream(
            self._api.list_namespaced_job,
            self.namespace,
            field_selector=f"metadata.name={name}",
            resource_version=version,
            timeout_seconds=_WATCH_S,
            **_limits(_WATCH_S + _ANSWER_S),
        )
        while (event := interruptibly(lambda: next(events, None))) is not None:
            if event["type"] == "DELETED":
                raise self._deleted(name)
            yield event["raw_object"]

    def _ask(self, call: Callable[[], T]) -> T:
        pause = _Pause()
        while True:
            try:
                return interruptibly(call)
            except _Failed as error:
                if isinstance(error, ApiException) and not _is_busy(error):
                    raise
                pause.wait(error)

    def _deleted(self, name: str) -> Unavailable:
        return Unavailable(
            f"Job {self.namespace}/{name} is gone: someone deleted it; run again with the same --run-id"
        )

    def _failure(self, verb: str, error: ApiException) -> FoveaError:
        where = f"Jobs of the namespace {self.namespace}"
        return Unavailable(f"{where} cannot be {verb}: the Kubernetes API says: {_said(error)}")


def connect(namespace: str | None) -> Jobs:
    """The Jobs of the namespace; by default of the pod's own, or of the kubeconfig's current context.

    Nothing is contacted yet. Raises Unavailable when no cluster is configured.
    """
    settings = client.Configuration()
    try:
        config.load_incluster_config(settings)
        own = _NAMESPACE_FILE.read_text().strip() if namespace is None else namespace
    except ConfigException as error:
        own = _load_kubeconfig(settings, error)
    settings.retries = False  # what is tried again, and when, is decided here
    return Jobs(client.BatchV1Api(client.ApiClient(settings)), namespace or own)


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
class _Pause:
    """Between one try and the next: longer each time. Raises Unavailable PATIENCE_S after the first."""

    wait_s: float = field(default_factory=lambda: FIRST_WAIT_S)
    since: float | None = None
    """When the first try failed after the last answer."""

    def wait(self, error: Exception) -> None:
        said, now = _said(error), time.monotonic()
        self.since = now if self.since is None else self.since
        if now - self.since > PATIENCE_S:
            raise Unavailable(
                f"the Kubernetes API has not answered for {PATIENCE_S:.0f} s: {said}"
            ) from error
        logger.warning("the Kubernetes API is away; trying again", extra={"said": said})
        sleep(max(self.wait_s * random.uniform(0.5, 1.0), _retry_after_s(error)))
        self.wait_s = min(2 * self.wait_s, LONGEST_WAIT_S)


def _is_busy(error: ApiException) -> bool:
    """Also when two requests met at one object, such as the namespace's ResourceQuota."""
    return error.status in _BUSY or (error.status, _reason(error)) == (409, "Conflict")


def _retry_after_s(error: Exception) -> float:
    headers = error.headers if isinstance(error, ApiException) else None
    asked = (headers or {}).get("Retry-After", "0")
    return min(float(asked), LONGEST_WAIT_S) if asked.isdecimal() else 0.0


def _said(error: Exception) -> str:
    """The API's own sentence, where it has one."""
    if not isinstance(error, ApiException):
        return str(error)
    return _status(error).get("message") or f"{error.status} {error.reason}"


def _reason(error: ApiException) -> str | None:
    """The API's word for it, which tells more than the status."""
    return _status(error).get("reason")


def _status(error: ApiException) -> Body:
    """The Status that the API answered with, empty if what answered was no API server."""
    try:
        found = json.loads(error.body or "")
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _limits(answer_s: float) -> dict[str, Any]:
    return {"_request_timeout": (_CONNECT_S, answer_s)}
