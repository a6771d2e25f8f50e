"""When jobs start, how long they may take and what is kept of them."""

import zoneinfo

from tests.deploy.manifests import Manifest, Workload

FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
"""The least and largest value of a cron schedule's minute, hour, day, month and day of the week."""


def test_schedule_can_be_read(cron: Manifest) -> None:
    fields = cron["schedule"].split()
    assert len(fields) == len(FIELDS)
    for field, (least, largest) in zip(fields, FIELDS, strict=True):
        for part in field.split(","):
            span, _, step = part.partition("/")
            numbers = [least, largest] if span == "*" else [int(number) for number in span.split("-")]
            assert least <= numbers[0] <= numbers[-1] <= largest
            assert not step or int(step) > 0


def test_time_zone_exists(cron: Manifest) -> None:
    assert zoneinfo.ZoneInfo(cron["timeZone"]).key == cron["timeZone"]


def test_runs_do_not_overlap_and_may_start_late(cron: Manifest) -> None:
    assert cron["concurrencyPolicy"] == "Forbid"
    assert cron["startingDeadlineSeconds"] >= 600


def test_jobs_made_by_hand_are_kept(cron: Manifest) -> None:
    assert min(cron["successfulJobsHistoryLimit"], cron["failedJobsHistoryLimit"]) >= 20


def test_training_waits_to_be_asked(training: Workload) -> None:
    if training.manifest["kind"] == "CronJob":
        assert training.manifest["spec"]["suspend"] is True


def test_nights_come_by_themselves(driver: Workload) -> None:
    assert not driver.manifest["spec"].get("suspend", False)


def test_nightly_run_ends_before_the_next_night(cron: Manifest) -> None:
    assert cron["jobTemplate"]["spec"]["activeDeadlineSeconds"] <= 24 * 3600


def test_job_ends_and_is_cleared_away(job: Workload) -> None:
    assert job.job["activeDeadlineSeconds"] > 0
    assert job.job["ttlSecondsAfterFinished"] >= 7 * 24 * 3600
    assert max(job.job.get("backoffLimit", 0), job.job.get("backoffLimitPerIndex", 0)) >= 1
