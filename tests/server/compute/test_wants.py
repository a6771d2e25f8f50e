"""Whatever images of a batch want, each row holds that and no more."""

import itertools
import zlib

import numpy as np

from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from server.compute.wants import DISTANCE, DRAW, EMBEDDING, LOGITS, DetailedModel, details_of
from tests import tiny
from tests.server.oip_calls import crops_of

ALL = (LOGITS, EMBEDDING, DISTANCE, DRAW)


def test_each_row_holds_what_its_image_wants(tiny_bundle: ModelBundle, tiny_classifier: Classifier) -> None:
    classifier, known_classes = tiny_classifier, tiny_bundle.known_classes()
    wants = [sum(flags) for size in range(5) for flags in itertools.combinations(ALL, size)]
    crops = crops_of([tiny.picture((10 * index, 200 - 9 * index, 60)) for index in range(len(wants))])
    assert known_classes is not None
    probabilities, embeddings = classifier.classify_with_embeddings(crops)
    logits = classifier.classify_with_logits(crops)[:, 1]
    distances = known_classes.distances(embeddings)

    model = DetailedModel(classifier, known_classes)
    rows = model.rows(model.answers(crops, wants), crops, wants)

    for index, (row, flags) in enumerate(zip(rows, wants, strict=True)):
        details = details_of(row, flags, len(tiny.LABELS))
        assert np.array_equal(details.probabilities, probabilities[index])
        for flag, own, expected in (
            (LOGITS, details.logits, logits[index]),
            (EMBEDDING, details.embedding, embeddings[index]),
            (DISTANCE, details.distance, distances[index]),
            (DRAW, details.draw, zlib.crc32(crops[index].tobytes()) / 2**32),
        ):
            assert (own is not None) == bool(flags & flag)
            assert own is None or np.array_equal(own, expected)
