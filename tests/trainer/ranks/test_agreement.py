import pytest

from fovea.errors import DataInvalid, FoveaError, SettingsInvalid
from trainer.ranks.agreement import DATA, OPTIONS, compare


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
