"""Alerts and dashboard: Prometheus takes them, examples prove them, and they ask for what is exported."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from server.telemetry.metrics import Metrics
from tests.deploy.compositions import DEPLOY, Composition
from tests.deploy.manifests import UNCOLLECTED, Manifest, render
from tests.deploy.promql import selectors
from tests.markdown import Page

MONITORED = Composition("plain+monitoring", ("base", "train"), ("monitoring",))
EXAMPLES = Path(__file__).parent / "alerts.yaml"

Series = list[tuple[str, dict[str, str]]]

LATER = {
    "fovea_model_info": {"name", "version", "digest", "provider", "precision", "verdict"},
    "fovea_predictions_total": {"label"},
    "fovea_rollout_answers_total": {"version"},
    "fovea_rollout_errors_total": {"version"},
    "fovea_rollout_abstained_total": {"version"},
    "fovea_rollout_seconds_bucket": {"version", "le"},
    "fovea_shadow_disagreed_total": {"label"},
}
"""Metrics of the server that it has once there is a model -> their labels."""

KUBE_STATE_METRICS = {
    "kube_cronjob_created": {"cronjob"},
    "kube_cronjob_next_schedule_time": {"cronjob"},
    "kube_cronjob_spec_suspend": {"cronjob"},
    "kube_cronjob_status_last_successful_time": {"cronjob"},
    "kube_deployment_spec_replicas": {"deployment"},
    "kube_deployment_status_replicas_available": {"deployment"},
    "kube_job_created": {"job_name"},
    "kube_job_failed": {"job_name", "condition"},
    "kube_job_owner": {"job_name", "owner_kind", "owner_name", "owner_is_controller"},
    "kube_job_status_active": {"job_name"},
}
OF_TARGETS = {"namespace", "pod", "service", "job", "instance", "container", "endpoint"}
"""Labels that Prometheus itself gives to what it scrapes."""

GRAFANAS_UNITS = {"bytes", "dateTimeFromNow", "none", "ops", "percentunit", "reqps", "s", "short"}

NAMED_IN = {"cronjob": "CronJob", "owner_name": "CronJob", "deployment": "Deployment", "service": "Service"}
"""Labels whose value is the name of an object of this kind."""


def rules() -> Manifest:
    spec: Manifest = render(MONITORED).named("PrometheusRule", "fovea")["spec"]
    return spec


def alerts() -> list[Manifest]:
    return [rule for group in rules()["groups"] for rule in group["rules"]]


def dashboard() -> Manifest:
    (text,) = render(MONITORED).named("ConfigMap", "fovea-dashboard")["data"].values()
    panels: Manifest = json.loads(text)
    return panels


def queries() -> list[str]:
    expressions = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    return [*(alert["expr"] for alert in alerts()), *expressions]


@pytest.fixture(scope="module")
def exported() -> Series:
    """What a server that has just started shows: all that can be foreseen is there."""
    metrics = Metrics()
    metrics.of_model("pets")
    page = generate_latest(metrics.registry).decode()
    families = text_string_to_metric_families(page)
    return [(sample.name, sample.labels) for family in families for sample in family.samples]


def test_alerts_are_accepted_by_promtool(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules()))
    assert "SUCCESS" in _promtool("check", "rules", tmp_path / "rules.yaml")


def test_alerts_call_when_they_should_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules()))
    shutil.copy(EXAMPLES, tmp_path)
    assert "SUCCESS" in _promtool("test", "rules", tmp_path / EXAMPLES.name)


def test_every_alert_has_an_example_of_a_call_and_of_silence() -> None:
    cases = [
        case for test in yaml.safe_load(EXAMPLES.read_text())["tests"] for case in test["alert_rule_test"]
    ]
    calls = {case["alertname"] for case in cases if case.get("exp_alerts")}
    silences = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert calls == silences == {alert["alert"] for alert in alerts()}


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert set(alert["annotations"]) == {"summary", "description"}


def test_alerts_are_those_that_the_readme_lists() -> None:
    page = Page.read(DEPLOY / "components/monitoring/README.md")
    assert [row["alert"].text for row in page.table("alert")] == [alert["alert"] for alert in alerts()]


def test_queries_of_the_dashboard_are_accepted_by_promtool(tmp_path: Path) -> None:
    recorded = [
        {"record": f"query:{number}", "expr": re.sub(r"\$__rate_interval", "5m", query)}
        for number, query in enumerate(queries())
    ]
    text = yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]})
    (tmp_path / "queries.yaml").write_text(text)
    assert "SUCCESS" in _promtool("check", "rules", tmp_path / "queries.yaml")


def test_queries_ask_for_what_is_exported(exported: Series) -> None:
    for query in queries():
        for metric, wanted in selectors(query):
            assert _is_exported(metric, wanted, exported), f"{metric} {wanted} in {query}"


def test_queries_name_objects_that_are_deployed() -> None:
    for query in queries():
        for metric, wanted in selectors(query):
            for label in set(wanted) & set(NAMED_IN):
                assert render(MONITORED).named(NAMED_IN[label], wanted[label]), f"{metric} in {query}"


@pytest.mark.parametrize(
    "query",
    [
        "fovea_request_total",
        "rate(fovea_requests[5m])",
        'fovea_requests_total{code="Internal"}',
        'fovea_requests_total{status="OK"}',
        'fovea_refused_total{reason=~"queue_full|tired"}',
        'kube_job_failed{cronjob="fovea-score"}',
        "sum by (pod) (kube_job_status_succeeded) > 0 and on (pod) up",
    ],
)
def test_query_for_what_nobody_exports_is_found(query: str, exported: Series) -> None:
    assert not all(_is_exported(metric, wanted, exported) for metric, wanted in selectors(query))


def test_panels_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in dashboard()["panels"]):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_panels_have_ids_of_their_own_and_one_data_source() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    sources = {json.dumps(panel["datasource"]) for panel in panels if panel["type"] != "row"}
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}


def test_panels_measure_in_units_that_grafana_has() -> None:
    for panel in dashboard()["panels"]:
        assert panel["type"] == "row" or panel["fieldConfig"]["defaults"]["unit"] in GRAFANAS_UNITS


def test_queries_use_the_variables_that_the_dashboard_has() -> None:
    known = {variable["name"] for variable in dashboard()["templating"]["list"]} | {"__rate_interval"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard()["panels"])))
    assert used == known


def test_grafanas_sidecar_finds_the_dashboard() -> None:
    labels = render(MONITORED).named("ConfigMap", "fovea-dashboard")["metadata"]["labels"]
    assert labels["grafana_dashboard"] == "1"


def _is_exported(metric: str, wanted: dict[str, str], exported: Series) -> bool:
    labels = {name: value for name, value in wanted.items() if name not in OF_TARGETS}
    for known in (KUBE_STATE_METRICS, LATER):
        if metric in known:
            return set(labels) <= known[metric]
    series = [own for name, own in exported if name == metric]
    return bool(series) and all(
        any(own.get(label) == value for own in series)
        for label, values in labels.items()
        for value in values.split("|")
    )


def _promtool(*command: str | Path) -> str:
    """What it prints. Skips where it is missing, but not when CI=true."""
    promtool = shutil.which("promtool")
    if promtool is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("promtool is not installed (apt-get install prometheus)")
    done = subprocess.run(
        [promtool, *map(str, command)],
        env=os.environ | UNCOLLECTED,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
