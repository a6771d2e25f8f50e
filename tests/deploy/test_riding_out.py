"""How long a store may be away without costing a night or a training, by the manifests' own numbers."""

import pytest

from tests.deploy.compositions import ROOT
from tests.deploy.manifests import Workload
from tests.deploy.settings import settings_of
from tests.markdown import Page, amount
from tests.scorer.fake_kubernetes.job_controller import backoff_s

SECTION = Page.read(ROOT / "docs/kubernetes.md").section("When a store is away")


def ridden_out_s(job: Workload, patience_s: float) -> float:
    """From the first call that finds the store away to the end of the last pod's patience."""
    tries = 1 + retries_of(job)
    return tries * patience_s + sum(backoff_s(failures) for failures in range(1, tries))


def retries_of(job: Workload) -> int:
    return int(job.job["backoffLimitPerIndex" if "backoffLimitPerIndex" in job.job else "backoffLimit"])


def test_a_store_that_is_away_for_half_an_hour_costs_no_job(
    job: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    ridden_out = ridden_out_s(job, settings_of(job, monkeypatch).store_patience_s)
    assert ridden_out >= 2 * 1800
    assert ridden_out <= job.job["activeDeadlineSeconds"] / 4, "it would take the time that the work needs"


def test_the_page_says_how_long(job: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    patience_s = settings_of(job, monkeypatch).store_patience_s
    (table,) = SECTION.tables()
    retries = retries_of(job)
    stated = [[amount(number) for number in row[""].text.split(", ")] for row in table]
    assert stated == [
        [patience_s],
        [retries],
        [backoff_s(1), backoff_s(retries)],
        [ridden_out_s(job, patience_s) // 60 * 60],
    ]
