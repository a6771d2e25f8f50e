"""Should it be shipped?"""

from dataclasses import replace

import numpy as np

from fovea.model.measured import Metrics
from trainer.evaluate.calibration import Calibration
from trainer.evaluate.metrics import measure
from trainer.images.audit import AuditRecord
from trainer.report.verdict import judge

LABELS = ("cat", "dog")
CALIBRATION = Calibration(1.0, 0.6, 0.05, 0.01, kept=990, kept_right=985)
CLEAN = AuditRecord(digest="", classes={}, not_heldout=[], conflicts=[])


def of(*counts: tuple[int, ...]) -> Metrics:
    """Of a confusion matrix: a row for each class's images, a column for each answer."""
    pairs = [
        (truth, said) for truth, row in enumerate(counts) for said, n in enumerate(row) for _ in range(n)
    ]
    targets, said = np.array(pairs).T
    labels = tuple(f"class {place}" for place in range(len(counts)))
    return measure(np.eye(len(labels), dtype=np.float32)[said], targets, labels, 0.5)


def evenly(classes: int, images: int, right: int) -> Metrics:
    """Of each class `right` of `images`, and the others are spread over the other classes."""
    rows = []
    for truth in range(classes):
        row = [0] * classes
        row[truth] = right
        for place in range(images - right):
            row[(truth + 1 + place % (classes - 1)) % classes] += 1
        rows.append(tuple(row))
    return of(*rows)


def measured(right: float, images: int = 1000) -> Metrics:
    """Half of the images are of either class, and `right` is the share of both that is found."""
    metrics = evenly(2, images // 2, round(right * images / 2))
    return metrics.model_copy(
        update={"per_class": dict(zip(LABELS, metrics.per_class.values(), strict=True))}
    )


FIT, CARE, UNFIT = "Fit to ship", "Fit to ship, with care", "Not fit to ship"
NO_BETTER, HARDLY, NOT_MUCH = "It is not surely better", "It is hardly better", "It is not much better"
NEVER, WRONG, FEW = "It never finds ", "It is wrong more often", "held-out images are few"
CASES = {
    # what was said of which images: the word, the first reason, whether it is kept from being published
    "sound": (of((480, 20), (15, 485)), FIT, None, False),
    "sound, of 200 classes": (evenly(200, 20, 19), FIT, None, False),
    "always the majority": (of((60, 0), (40, 0)), UNFIT, "It is not better than", True),
    "always the majority, of one image more": (of((500, 0), (499, 1)), UNFIT, NO_BETTER, True),
    "always the majority, of 99 %": (of((990, 0), (10, 0)), UNFIT, "It is not better than", True),
    "below the majority": (of((600, 300), (20, 80)), UNFIT, "It is not better than", True),
    "at chance": (of((260, 240), (240, 260)), UNFIT, NO_BETTER, True),
    "at chance, of ten classes": (evenly(10, 20, 2), UNFIT, "It is not better than", True),
    "at chance, of few images": (of((6, 4), (5, 5)), UNFIT, NO_BETTER, True),
    "a rare class, half found, no false alarms": (of((950, 0), (25, 25)), FIT, None, False),
    "a rare class, of few images": (of((94, 1), (2, 3)), CARE, "By its accuracy alone", False),
    "a rare class, found once by chance": (of((95, 0), (4, 1)), UNFIT, NO_BETTER, True),
    "a rare class, never found": (of((700, 20, 0), (20, 250, 0), (5, 5, 0)), UNFIT, NEVER, False),
    "surely, but hardly better": (of((550, 450), (450, 550)), UNFIT, HARDLY, False),
    "better, but not much": (of((700, 300), (300, 700)), CARE, NOT_MUCH, False),
    "55 % with a class never named": (of((11, 9, 0), (2, 18, 0), (6, 10, 0)), UNFIT, NEVER, False),
    "wrong more often than right": (evenly(10, 100, 40), UNFIT, WRONG, False),
    "perfect, on two images": (of((1, 0), (0, 1)), CARE, FEW, False),
    "half right, on two images": (of((1, 0), (1, 0)), UNFIT, "It is not better than", True),
    "perfect, on four images": (of((2, 0), (0, 2)), CARE, FEW, False),
    "three of four right": (of((2, 0), (1, 1)), UNFIT, NO_BETTER, True),
    "perfect, on twenty": (of((10, 0), (0, 10)), CARE, FEW, False),
    "eight of ten right": (of((5, 0), (2, 3)), UNFIT, NO_BETTER, True),
    "nine of ten right": (of((5, 0), (1, 4)), CARE, FEW, False),
    "one image a class, of fifty": (evenly(50, 1, 1), FIT, None, False),
    "a class of 25 never found": (
        of(
            *(
                tuple(100 * (i == j and i > 0) + 100 * (i == 0 and j == 1) for j in range(25))
                for i in range(25)
            )
        ),
        CARE,
        "It misses most images of <bdi>class 0</bdi> (it finds 0.0",
        False,
    ),
}


def test_the_word_is_what_the_figures_say() -> None:
    for name, (metrics, word, reason, kept_back) in CASES.items():
        verdict = judge(metrics, CALIBRATION, CLEAN, 0.99)
        assert (verdict.word, verdict.no_better) == (word, kept_back), (name, verdict)
        assert bool(verdict.against) == bool(reason), (name, verdict.against)
        assert reason is None or reason in verdict.against[0], (name, verdict.against)


def test_what_the_bundle_holds_of_it_is_plain_text() -> None:
    metrics = measured(0.52)
    rows = {"<b>\u05d0 & co": metrics.per_class["cat"], "dog": metrics.per_class["dog"]}
    opinion = judge(metrics.model_copy(update={"per_class": rows}), CALIBRATION, CLEAN, 0.99).opinion
    assert opinion.word == UNFIT
    assert opinion.against == (
        "It is not surely better than always answering <b>\u05d0 & co, which is right for 50.0 % of these "
        "images",
    )


def test_a_good_model_is_fit_to_ship_and_nothing_speaks_against_it() -> None:
    verdict = judge(measured(0.97), CALIBRATION, CLEAN, 0.99)
    assert (verdict.word, verdict.against, verdict.kind) == (FIT, (), "good")
    assert verdict.weakest is not None
    assert verdict.weakest.recall == 0.97


def test_few_images_call_for_care() -> None:
    verdict = judge(measured(0.92, 50), CALIBRATION, CLEAN, 0.99)
    assert (verdict.word, verdict.kind) == (CARE, "care")
    assert verdict.against[0].startswith("50 held-out images are few: its accuracy may be anything from ")


def test_what_speaks_against_a_model_is_said() -> None:
    metrics = measured(0.97)
    rows = {**metrics.per_class, "dog": metrics.per_class["dog"].model_copy(update={"recall": 0.3})}
    verdict = judge(
        metrics.model_copy(update={"per_class": rows}),
        replace(CALIBRATION, ece_after=0.08, kept=0),
        CLEAN.model_copy(update={"not_heldout": ["owl", "emu"], "conflicts": [("a", "b")]}),
        0.99,
    )
    assert [reason.split(" (")[0] for reason in verdict.against] == [
        "It misses most images of <bdi>dog</bdi>",
        "Nothing is held out of <bdi>owl</bdi> and 1 more class, so how well that is told is not known",
        "However sure it is, it is not right 99&nbsp;% of the time: it cannot say when to abstain",
        "Its probabilities are off by 8.0&nbsp;% on average",
        "The data contradict themselves: 1 image stands under two labels or more",
    ]


def test_a_name_in_what_is_said_is_no_markup_and_keeps_its_direction_to_itself() -> None:
    hostile = "<b>\u05d0" + "z" * 5000
    verdict = judge(measured(0.97), CALIBRATION, CLEAN.model_copy(update={"not_heldout": [hostile]}), 0.99)
    (reason,) = verdict.against
    assert reason.startswith("Nothing is held out of <bdi>&lt;b&gt;\u05d0zzz")
    assert reason.endswith("zzz</bdi>, so how well that is told is not known")
    assert len(reason) < 200


def test_a_target_is_not_rounded_to_what_nobody_asked_for() -> None:
    (reason,) = judge(measured(0.97), replace(CALIBRATION, kept=0), CLEAN, 0.995).against
    assert "not right 99.5&nbsp;% of the time" in reason


def test_a_class_of_few_images_is_not_judged() -> None:
    verdict = judge(measured(1.0, 8), CALIBRATION, CLEAN, 0.99)
    assert verdict.weakest is None
