"""The Jobs of a namespace, through the Kubernetes API.

It has to be allowed there to create, list and watch Jobs, and to get the CronJob that is their template.
"""

import json
import time
from collections.abc import Iterator
from typing import Any, Final

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

from fovea.errors import FoveaError, SettingsInvalid, Unavailable
from fovea.foreground import interruptibly, sleep
from scorer.cluster import api
from scorer.cluster.api import ANSWER_S, BUSY, Api, Body, Failed, Pause, limits, reason, said

_WATCH_S: Final = 240
_WATCH_OF_WAITING_S: Final = 30
"""What a pod waits for may change while its Job does not."""
_GONE: Final = 410


class Jobs:
    """The Jobs of one namespace. Every method waits for an API that is busy or away, up to PATIENCE_S.

    Raises Unavailable after that, and when the API refuses what is asked.
    """

    def __init__(self, api: Api) -> None:
        self._api, self.namespace = api, api.namespace
        self._batch: Any = client.BatchV1Api(api.client)  # it takes and gives more than its types say

    def template_of(self, cron_job: str) -> Body:
        """The Job that this CronJob would create, without a name. Raises SettingsInvalid if there is none."""
        try:
            body = self._api.ask(lambda: self._read(cron_job))
        except ApiException as error:
            if error.status == 404:
                where = f"in the namespace {self.namespace}"
                raise SettingsInvalid(f"--job-template cronjob/{cron_job}: there is none {where}") from error
            what = f"CronJob {self.namespace}/{cron_job}"
            raise Unavailable(f"{what} cannot be read: the Kubernetes API says: {said(error)}") from error
        template = body["spec"]["jobTemplate"]
        metadata = template.get("metadata") or {}
        labelling = {key: metadata[key] for key in ("labels", "annotations") if key in metadata}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": labelling, "spec": template["spec"]}

    def create(self, body: Body) -> bool:
        """False if there is a Job of this name already. Raises SettingsInvalid for a body that is refused."""
        try:
            self._api.ask(lambda: self._post(body))
        except ApiException as error:
            if reason(error) == "AlreadyExists":
                return False
            if error.status in {400, 404, 422}:
                raise SettingsInvalid(f"the Kubernetes API does not take the Job: {said(error)}") from error
            raise self._failure("created", error) from error
        return True

    def follow(self, name: str) -> Iterator[Body]:
        """The Job as it is, and then each time that it changes; without an end, unless it is deleted.

        While pods of it wait it comes unchanged too, twice a minute. Raises Unavailable when it is gone.
        """
        pause = Pause()
        while True:
            job, version = self._look(name)
            pause.since = None  # the API is there; but watches that break are begun less and less often
            yield job
            begun = time.monotonic()
            try:
                watch_s = _WATCH_OF_WAITING_S if waits(job) else _WATCH_S
                for changed in self._changes(name, version, watch_s):
                    pause = Pause()
                    yield changed
                pause = Pause()
                # An API server that is about to leave ends every watch as soon as it has begun.
                sleep(begun + api.FIRST_WAIT_S - time.monotonic())
            except Failed as error:
                # Whatever ended the watch, the list tells what was missed meanwhile.
                if isinstance(error, ApiException) and error.status not in {*BUSY, _GONE}:
                    raise self._failure("watched", error) from error
                pause.wait(error)

    def _look(self, name: str) -> tuple[Body, str]:
        """The Job, and the list's version, from which a watch goes on. (The Job's own may be too old.)"""
        selector = f"metadata.name={name}"
        try:
            listed = self._api.ask(
                lambda: self._batch.list_namespaced_job(self.namespace, field_selector=selector, **limits())
            )
        except ApiException as error:
            raise self._failure("listed", error) from error
        if not listed.items:
            raise self._deleted(name)
        job: Body = self._api.client.sanitize_for_serialization(listed.items[0])
        return job, str(listed.metadata.resource_version)

    def _post(self, body: Body) -> None:
        """As it is: the client's own types would refuse the fields of a Kubernetes newer than they are.

        What the API does not know it refuses when told to; by itself it would leave it out.
        """
        sender: Any = self._api.client
        request = sender.param_serialize(
            method="POST",
            resource_path="/apis/batch/v1/namespaces/{namespace}/jobs",
            path_params={"namespace": self.namespace},
            query_params=[("fieldValidation", "Strict")],
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = sender.call_api(*request, **limits())
        answer.read()
        sender.response_deserialize(answer, {})  # which raises ApiException for all but success

    def _read(self, cron_job: str) -> Body:
        """As the API has it: the client's own types would drop the fields that they do not know."""
        answer = self._batch.read_namespaced_cron_job(
            cron_job, self.namespace, _preload_content=False, **limits()
        )
        body: Body = json.loads(answer.data)
        return body

    def _changes(self, name: str, version: str, watch_s: int) -> Iterator[Body]:
        """What happens to the Job after this version, until the API closes the watch, as it does at times."""
        events = watch.Watch().stream(
            self._batch.list_namespaced_job,
            self.namespace,
            field_selector=f"metadata.name={name}",
            resource_version=version,
            timeout_seconds=watch_s,
            **limits(watch_s + ANSWER_S),
        )
        while (event := interruptibly(lambda: next(events, None))) is not None:
            if event["type"] == "DELETED":
                raise self._deleted(name)
            yield event["raw_object"]

    def _deleted(self, name: str) -> Unavailable:
        return Unavailable(
            f"Job {self.namespace}/{name} is gone: someone deleted it; run again with the same --run-id"
        )

    def _failure(self, verb: str, error: ApiException) -> FoveaError:
        where = f"Jobs of the namespace {self.namespace}"
        return Unavailable(f"{where} cannot be {verb}: the Kubernetes API says: {said(error)}")


def waits(job: Body) -> bool:
    """Whether pods of the Job, which has not ended, are not at work, or not even there."""
    status = job.get("status") or {}
    return not status.get("active") or status["active"] > status.get("ready", 0)
