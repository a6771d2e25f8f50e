from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from fovea.errors import DataInvalid, FoveaError, SettingsInvalid
from tests.trainer.conftest import train_settings
from trainer.preparation import confirm_alike
from trainer.ranks.agreement import DATA, OPTIONS, VERSIONS, compare
from trainer.ranks.group import Ranks


class _Noting(Ranks):
    """What a rank tells the others of itself."""

    def __init__(self) -> None:
        self.told: dict[str, dict[str, str]] = {}

    def confirm(self, what: str, facts: Callable[[], dict[str, str]]) -> None:
        self.told[what] = facts()


def test_options_are_told_as_written_and_timms_version_by_who_trains_its_networks(tmp_path: Path) -> None:
    noting = _Noting()
    confirm_alike(train_settings(tmp_path, tmp_path, sizes=(24, 32), epochs=2), noting)
    assert noting.told[OPTIONS]["--sizes"] == "24,32"
    assert noting.told[VERSIONS]["torch"] == version("torch")
    assert "timm" not in noting.told[VERSIONS]
    confirm_alike(train_settings(tmp_path, tmp_path, arch="timm/resnet18"), noting)
    assert noting.told[OPTIONS]["--sizes"] == ""
    assert noting.told[VERSIONS]["timm"] == version("timm")


def test_the_rank_that_differs_is_named_with_what_it_has() -> None:
    alike = {"--size": "32", "--seed": "0"}
    compare(OPTIONS, [alike, dict(alike), dict(alike)])
    differs = "rank 1 differs from rank 0 in"
    cases: list[tuple[str, dict[str, str], type[FoveaError], str]] = [
        (
            OPTIONS,
            {**alike, "--size": "64"},
            SettingsInvalid,
            f"{differs} --size: 64, not 32",
        ),
        (OPTIONS, {"--size": "32"}, SettingsInvalid, "in --seed: none, not 0"),
        (OPTIONS, {**alike, "--flip": "True"}, SettingsInvalid, "in --flip: True, not none"),
        (DATA, {**alike, "--size": "64"}, DataInvalid, "all must read the same data"),
    ]
    for what, other, kind, said in cases:
        with pytest.raises(kind, match=said):
            compare(what, [alike, other, alike])
