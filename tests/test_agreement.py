"""Report, evaluation, server and scorer say the same of each image of a whole part, to the bit."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.dataset
import pytest

from fovea.client import Classification, Client
from fovea.images.preprocess import decode_image
from fovea.model.bundle import BundleContract, ModelBundle
from fovea.model.classifier import Classifier
from fovea.truth.sets import draws, label_sets
from tests.servers import running_server
from tests.test_end_to_end import program
from trainer.images.sources import open_source

SPLIT = ("--data", "digits", "--test-fraction", "0.2")


class Said(NamedTuple):
    """Of one image."""

    label: str
    probability: float
    label_set: list[str]
    distance: float
    unknown: bool


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a model of the digits, hardly trained, and its part test as a folder of a class each."""
    place = tmp_path_factory.mktemp("agreement")
    trained = program(
        *("trainer", "train", *SPLIT, "--models", str(place / "models" / "digits"), "--publish-anyway"),
        *("--arch", "resnet18", "--epochs", "1", "--num-steps", "20", "--precisions", "fp32"),
        *("--runs", str(place / "runs"), "--cache-dir", str(place / "cache"), "--threads", "1"),
    )
    assert trained.returncode == 0, trained.stderr
    split = open_source("digits", (), val_fraction=0.2, test_fraction=0.2, seed=0, cache_dir=place / "cache")
    for sample in split.test:
        (place / "photos" / sample.label).mkdir(parents=True, exist_ok=True)
        shutil.copy(place / "cache" / "digits" / str(sample), place / "photos" / sample.label)
    return place


@pytest.fixture(scope="module")
def photos(place: Path) -> dict[str, Path]:
    """key -> file"""
    files = sorted((place / "photos").glob("*/*.png"))
    return {str(file.relative_to(place / "photos")): file for file in files}


@pytest.fixture(scope="module")
def own(place: Path, photos: dict[str, Path]) -> dict[str, Said]:
    """What the bundle says, opened directly."""
    bundle = ModelBundle.open(place / "models" / "digits" / "1")
    contract, known_classes = bundle.contract, bundle.known_classes()
    assert contract.prediction_sets
    assert contract.out_of_distribution
    assert known_classes
    crops = np.stack([decode_image(file.read_bytes(), contract.preprocess) for file in photos.values()])
    probabilities, embeddings = Classifier(bundle, "cpu", 1).classify_with_embeddings(crops)
    sets = label_sets(probabilities, draws(crops), contract.prediction_sets.quantile)
    distances = known_classes.distances(embeddings).tolist()
    return {
        key: Said(
            contract.labels[of.argmax()],
            float(of.max()),
            [contract.labels[index] for index in indexes],
            distance,
            contract.out_of_distribution.is_unknown(distance),
        )
        for key, of, indexes, distance in zip(photos, probabilities, sets, distances, strict=True)
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_report_evaluation_server_and_scorer_say_the_same_of_each_digit(
    place: Path, photos: dict[str, Path], own: dict[str, Said]
) -> None:
    assert len(own) > 250
    assert dict(by_server(place, photos)) == own
    assert dict(by_scorer(place)) == own
    contract = ModelBundle.open(place / "models" / "digits" / "1").contract
    told = [(Path(key).parent.name, said) for key, said in own.items()]
    assert what_the_report_counts(contract) == {
        "images": len(told),
        "right": sum(said.label == truth for truth, said in told),
        "covered": sum(truth in said.label_set for truth, said in told),
        "empty": sum(not said.label_set for _, said in told),
        "in sets": sum(len(said.label_set) for _, said in told),
        "unknown": sum(said.unknown for _, said in told),
    }
    assert evaluated(place) == Counter((truth, said.label) for truth, said in told)


def by_server(place: Path, photos: dict[str, Path]) -> Iterator[tuple[str, Said]]:
    with (
        running_server(place / "models" / "digits") as server,
        Client(server.target) as client,
    ):
        answers = client.classify_many(photos.values(), want=("distance", "label_set"))
        for key, answer in zip(photos, answers, strict=True):
            assert isinstance(answer, Classification)
            assert answer.label_set is not None
            assert answer.distance is not None
            assert answer.unknown is not None
            labels = list(answer.label_set.labels)
            yield key, Said(answer.label, answer.probability, labels, answer.distance, answer.unknown)


def by_scorer(place: Path) -> Iterator[tuple[str, Said]]:
    scored = program(
        *("scorer", "run", str(place / "photos"), "--models", str(place / "models" / "digits")),
        *("--output", str(place / "scores"), "--run-id", "night", "--label-sets", "--distances"),
    )
    assert scored.returncode == 0, scored.stderr
    data = place / "scores" / "runs" / "night" / "data"
    for row in pyarrow.dataset.dataset(data, format="parquet").to_table().to_pylist():
        yield row["key"], Said(*(row[name] for name in Said._fields))


def what_the_report_counts(contract: BundleContract) -> dict[str, int]:
    metrics, sets, novelty = contract.metrics, contract.prediction_sets, contract.out_of_distribution
    assert sets
    assert sets.measured
    assert novelty
    assert novelty.measured
    assert contract.metrics.images == sets.measured.images == novelty.measured.images
    return {
        "images": metrics.images,
        "right": metrics.right,
        "covered": sets.measured.covered,
        "empty": sets.measured.empty,
        "in sets": round(sets.measured.mean_size * sets.measured.images),
        "unknown": novelty.measured.unknown,
    }


def evaluated(place: Path) -> Counter[tuple[str, str]]:
    """How many of each label were named what, as evaluation.json has it."""
    ended = program(
        *("trainer", "evaluate", str(place / "models" / "digits" / "1"), "--data", str(place / "photos")),
        *("--output", str(place / "evaluation"), "--cache-dir", str(place / "cache"), "--threads", "1"),
    )
    assert ended.returncode == 0, ended.stderr
    record: dict[str, Any] = json.loads((place / "evaluation" / "evaluation.json").read_text())
    return Counter({(cell["truth"], cell["predicted"]): cell["images"] for cell in record["confusion"]})
