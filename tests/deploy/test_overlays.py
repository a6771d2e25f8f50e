"""An overlay says where everything is in its params.env, and nowhere else."""

import re
import shutil
from pathlib import Path

import pytest

from tests.deploy.compositions import DEPLOY, OVERLAYS, read
from tests.deploy.manifests import Rendering, Workload, build, pods_of
from tests.deploy.settings import settings_of

PLACES = {
    "FOVEA_TRAIN_DATA",
    "FOVEA_TRAIN_WEIGHTS",
    "FOVEA_TRAIN_MODELS",
    "FOVEA_SERVE_MODELS",
    "FOVEA_SCORE_MODELS",
    "FOVEA_SCORE_SOURCE",
    "FOVEA_SCORE_OUTPUT",
}
BUCKETS = ("s3://", "gs://", "az://")
NO_PLACES = {"digits", "imagenet", "none"}
READ = {
    "trainer": ["data", "weights"],
    "node": ["data", "weights"],
    "server": ["models"],
    "driver": ["source", "models"],
    "worker": [],
}
WRITTEN = {
    "trainer": ["models", "cache_dir", "runs"],
    "node": ["models", "cache_dir", "runs"],
    "server": [],
    "driver": ["output"],
    "worker": ["output"],
}
"""Container -> its settings that name a folder it reads, or writes to."""


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Path:
    return DEPLOY / "overlays" / str(request.param)


def test_everything_is_in_every_overlay(overlay: Path) -> None:
    assert {"../../base", "../../train"} <= set(read(overlay)["resources"])


def test_one_file_says_where_everything_is(overlay: Path) -> None:
    assert set(_variables(overlay)) >= PLACES
    assert [path.name for path in overlay.glob("*.env")] == ["params.env"]
    generated = {one["name"]: one for one in read(overlay)["configMapGenerator"]}
    assert set(generated) == {"fovea-params", "fovea-train-params"}
    for generator in generated.values():
        assert (generator["behavior"], generator["envs"]) == ("merge", ["params.env"])


def test_a_job_keeps_the_parameters_that_it_began_with(rendering: Rendering) -> None:
    """Other values are another ConfigMap, whose name says so, and the one that pods read cannot be edited."""
    config_maps = [m for m in rendering.of_kind("ConfigMap") if m["metadata"]["name"].startswith("fovea-")]
    parameters = [m for m in config_maps if "params" in m["metadata"]["name"]]
    assert len(parameters) >= len(rendering.composition.folders[:1])
    for one in parameters:
        assert one["immutable"] is True
        assert re.fullmatch(r"fovea-(train-)?params-[a-z0-9]{10}", one["metadata"]["name"])


def test_other_values_are_another_config_map(tmp_path: Path) -> None:
    folder = shutil.copytree(DEPLOY, tmp_path / "deploy") / "overlays/local-cpu"
    before = _parameters_of_training(folder)
    params = folder / "params.env"
    params.write_text(params.read_text().replace("FOVEA_TRAIN_DATA=digits", "FOVEA_TRAIN_DATA=/data/other"))
    assert _parameters_of_training(folder) != before


def _parameters_of_training(folder: Path) -> str:
    """The name of the ConfigMap that a Job of this template reads, as long as it lives."""
    (template,) = [
        m for m in build(folder) if (m["kind"], m["metadata"]["name"]) == ("CronJob", "fovea-train")
    ]
    (source,) = [one for one in pods_of(template).container["envFrom"] if "configMapRef" in one]
    return str(source["configMapRef"]["name"])


def test_pods_get_what_the_file_says(workload: Workload) -> None:
    overlay = workload.rendering.composition.overlay
    if overlay:
        variables = _variables(DEPLOY / "overlays" / overlay)
        assert variables.items() <= workload.environment().items()


def test_local_overlay_needs_nothing_to_be_filled_in(workload: Workload) -> None:
    """But for the bucket that captures are in, and what they teach: who wants that says where."""
    if workload.rendering.composition.overlay == "local-cpu" and "capture" not in workload.components:
        told = {name: value for name, value in workload.environment().items() if "CHANGE-ME" in value}
        assert told.keys() <= {"RETRAIN_CAPTURES", "RETRAIN_CORRECTIONS"}


def test_what_is_read_is_in_a_bucket_or_on_a_volume(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(workload, monkeypatch)
    for name in READ[workload.container["name"]]:
        value = getattr(settings, name)
        for place in value if isinstance(value, tuple) else (str(value),):
            if not place.startswith(BUCKETS) and place not in NO_PLACES:
                assert _volume_of(place, workload), f"{name} is {place}"


def test_what_is_written_is_in_a_bucket_or_on_a_volume_that_can_be_written(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the train image has it; it works in /var/lib/fovea. test_dockerfiles sees to both.
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/lib/fovea/cache")
    settings = settings_of(workload, monkeypatch)
    for name in WRITTEN[workload.container["name"]]:
        place = str(getattr(settings, name))
        if not place.startswith(BUCKETS):
            volume = _volume_of(str(Path("/var/lib/fovea", place)), workload)
            assert volume, f"{name} is {place}"
            assert not volume["readOnly"]


def test_workers_see_the_volumes_that_the_driver_plans_on(rendering: Rendering) -> None:
    driver, worker = (rendering.pods(name) for name in ("fovea-score", "fovea-score-work"))
    of_verification = {"/etc/fovea/tls", "/etc/fovea/tls-client"}
    assert worker.mounts == {path: v for path, v in driver.mounts.items() if path not in of_verification}


def _variables(overlay: Path) -> dict[str, str]:
    lines = (overlay / "params.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _volume_of(place: str, workload: Workload) -> dict[str, object] | None:
    """The claim that holds this path, None if it is on no claim."""
    for mount, volume in workload.mounts.items():
        if Path(place).is_relative_to(mount) and "persistentVolumeClaim" in volume:
            return volume
    return None
