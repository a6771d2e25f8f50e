"""A run as deploy/base has it: its driver's pod, with its own account and no more, and its workers' pods."""

import copy
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.deploy.manifests import DEPLOY, Manifest, build, pods_of
from tests.scorer.fake_kubernetes import Failure, FakeKubernetes, running
from tests.scorer.fake_kubernetes.credentials import server_context, write_mount
from tests.scorer.runs import PATIENCE_S, read_rows

WORKERS = "night-1-work"


@dataclass
class Night:
    """A cluster that deploy/base is applied to, over images and a model in folders."""

    fake: FakeKubernetes
    manifests: list[Manifest]
    output: Path
    photos: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start_driver(self) -> subprocess.Popen[str]:
        """As the Job night-1 does: kubectl create job night-1 --from=cronjob/fovea-score."""
        template = copy.deepcopy(pods_of(self.only("CronJob", "fovea-score")).template)
        template["metadata"]["labels"]["batch.kubernetes.io/job-name"] = "night-1"
        self.started.append(self.fake.kubelet.start(template, {}))
        return self.started[-1]

    def only(self, kind: str, name: str) -> Manifest:
        if kind == "CronJob":
            return self.fake.cron_jobs[name]
        (manifest,) = [m for m in self.manifests if (m["kind"], m["metadata"]["name"]) == (kind, name)]
        return manifest

    def allow_tries(self, tries: int) -> None:
        """Of each index: fewer than there are, for each takes seconds."""
        template = self.only("CronJob", "fovea-score-work")["spec"]["jobTemplate"]["spec"]
        assert tries < template["backoffLimitPerIndex"] + 1
        template["backoffLimitPerIndex"] = tries - 1

    def is_whole(self) -> bool:
        scored = [row["key"] for row in read_rows(self.output)]
        latest = json.loads((self.output / "latest.json").read_text())["run"]
        return latest == "night-1" and scored == sorted(path.name for path in self.photos.iterdir())


@pytest.fixture
def night(photos: Path, tiny_models: Path, output: Path, tmp_path: Path) -> Iterator[Night]:
    """Its workers wait for the gate."""
    manifests = copy.deepcopy(list(build(DEPLOY / "base")))
    (parameters,) = [m for m in manifests if m["kind"] == "ConfigMap"]
    parameters["data"] |= {
        "FOVEA_SCORE_SOURCE": str(photos),
        "FOVEA_SCORE_MODELS": str(tiny_models),
        "FOVEA_SCORE_OUTPUT": str(output),
        "FOVEA_SCORE_SHARD_IMAGES": "5",
        "FOVEA_SCORE_WORKERS": "2",
    }
    authority, fake = Authority.create(), FakeKubernetes()
    fake.apply(manifests)
    with running(fake, server_context(authority, tmp_path)):
        host, port = fake.url.removeprefix("https://").split(":")
        fake.kubelet.api_server = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        fake.kubelet.mount = partial(_mount, fake, authority, tmp_path / "token")
        night = Night(fake, manifests, output, photos)
        yield night
        for process in night.started:
            process.kill()


def _mount(fake: FakeKubernetes, authority: Authority, folder: Path, account: str) -> Path:
    return write_mount(folder, authority.pem, fake.namespace, fake.rights.token_of(account))


def watching(night: Night) -> subprocess.Popen[str]:
    """A driver that has created its Job, or found it, and follows it."""
    driver = night.start_driver()
    assert night.fake.watched.acquire(timeout=PATIENCE_S), driver.communicate()[0]
    return driver


def test_it_goes_from_the_plan_to_the_commit_with_its_accounts_rights_and_uses_all_of_them(
    night: Night,
) -> None:
    driver = watching(night)
    night.fake.gate.set()
    said, _ = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, said + "".join(night.fake.logs)
    assert night.is_whole()
    assert night.fake.used == night.fake.rights.granted()


def test_the_job_is_the_templates_with_its_image_policies_and_no_token(night: Night) -> None:
    watching(night)
    job, template = night.fake.jobs[WORKERS], night.only("CronJob", "fovea-score-work")
    wanted = template["spec"]["jobTemplate"]["spec"]
    for name in (
        "backoffLimitPerIndex",
        "podFailurePolicy",
        "podReplacementPolicy",
        "ttlSecondsAfterFinished",
    ):
        assert job["spec"][name] == wanted[name]
    assert (job["spec"]["completions"], job["spec"]["maxFailedIndexes"]) == (2, 1)
    pod, wanted_pod = job["spec"]["template"]["spec"], wanted["template"]["spec"]
    assert pod["containers"][0]["image"] == wanted_pod["containers"][0]["image"]
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod


@pytest.mark.parametrize(
    ("verb", "resource", "says"),
    [
        ("get", "cronjobs", 'cannot be read: the Kubernetes API says: cronjobs.batch "fovea-score-work"'),
        ("create", "jobs", "cannot be created: the Kubernetes API says: jobs.batch"),
        ("list", "jobs", f'cannot be listed: the Kubernetes API says: jobs.batch "{WORKERS}"'),
        ("watch", "jobs", f'cannot be watched: the Kubernetes API says: jobs.batch "{WORKERS}"'),
    ],
)
def test_a_role_that_lacks_a_verb_ends_in_one_line_that_names_it(
    night: Night, verb: str, resource: str, says: str
) -> None:
    for rule in night.only("Role", "fovea-score")["rules"]:
        if resource in rule["resources"]:
            rule["verbs"].remove(verb)
    driver = night.start_driver()
    said, _ = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 69, said
    *_, last = said.splitlines()
    asked = f'cannot {verb} resource "{resource}" in API group "batch" in the namespace "fovea"'
    assert last.endswith(f'{says} is forbidden: User "system:serviceaccount:fovea:fovea-score" {asked}')
    assert "Traceback" not in said


def test_a_driver_that_is_killed_is_followed_by_one_that_goes_on(night: Night) -> None:
    watching(night).kill()
    second = watching(night)
    night.fake.gate.set()
    said, _ = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0, said
    assert "the Job is there already" in said
    assert night.is_whole()
    assert len(night.fake.pods) == 2


def test_a_driver_whose_node_is_drained_leaves_the_job_to_the_next(night: Night) -> None:
    first = watching(night)
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE_S) == 143
    assert list(night.fake.jobs) == [WORKERS]


@dataclass
class Blockade:
    """The first image is a pipe: whoever scores it stays in the middle of its shard, until it is lifted."""

    night: Night
    image: Path
    aside: Path

    @classmethod
    def of(cls, night: Night) -> "Blockade":
        image, aside = night.photos / "000.png", night.output.parent / "aside"
        image.rename(aside)
        os.mkfifo(image)
        return cls(night, image, aside)

    def end_worker(self, how: Callable[[subprocess.Popen[str]], None], *, lift: bool) -> None:
        """Ends the pod that has come to the image."""
        with self.image.open("wb"):  # waits for its reader
            if lift:
                self.aside.replace(self.image)
            pod = self.night.fake.kubelet.of_index(0)[-1]
            how(pod)
            pod.wait(PATIENCE_S)


def test_workers_that_are_drained_more_often_than_they_may_fail_still_end_the_run(night: Night) -> None:
    night.allow_tries(1)
    driver = watching(night)
    blockade = Blockade.of(night)
    night.fake.gate.set()
    tries = night.fake.jobs[WORKERS]["spec"]["backoffLimitPerIndex"] + 2
    for left in reversed(range(tries)):
        blockade.end_worker(night.fake.evict, lift=not left)
    said, _ = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, said + "".join(night.fake.logs)
    assert night.is_whole()


def test_a_worker_that_is_killed_is_replaced(night: Night) -> None:
    """By the kernel, for its memory, say: nobody drained its node."""
    driver = watching(night)
    blockade = Blockade.of(night)
    night.fake.gate.set()
    blockade.end_worker(subprocess.Popen.kill, lift=True)
    said, _ = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, said + "".join(night.fake.logs)
    assert night.is_whole()
    assert len(night.fake.kubelet.of_index(0)) == 2


@pytest.mark.slow
def test_a_worker_that_is_killed_again_and_again_fails_its_index_alone(night: Night) -> None:
    night.allow_tries(2)
    driver = watching(night)
    blockade = Blockade.of(night)
    night.fake.gate.set()
    tries = night.fake.jobs[WORKERS]["spec"]["backoffLimitPerIndex"] + 1
    for _ in range(tries):
        blockade.end_worker(subprocess.Popen.kill, lift=False)
    said, _ = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 69, said
    assert f"Job fovea/{WORKERS} failed, its indexes 0, whose pods ended with 137 (FailedIndexes" in said
    assert "2 of 3 shards are missing" in said
    assert len(night.fake.kubelet.of_index(0)) == tries
    assert not (night.output / "latest.json").exists()


def test_an_api_server_that_is_busy_drops_watches_and_forgets_does_not_end_the_run(night: Night) -> None:
    night.fake.fail("get", Failure(429, headers={"Retry-After": "0"}))
    night.fake.fail("create", Failure(0))
    night.fake.fail("watch", Failure(0), Failure(410))
    driver = watching(night)
    night.fake.gate.set()
    said, _ = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, said
    assert night.is_whole()
