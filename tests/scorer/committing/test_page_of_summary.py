"""summary.html of summaries made by hand: what is shown of classes, probabilities and drifts."""

import re
from typing import Any

from scorer.committing.page import summary_page
from scorer.files.summary import (
    Changes,
    Confidence,
    DriftScore,
    HeldOutSummary,
    Histogram,
    ImageChanges,
    LabelChanges,
    LastRunSummary,
    ModelIdentity,
    RunSummary,
)

CHANGES = Changes(
    images=ImageChanges(in_both=0, new=0, vanished=0, image_replaced=0),
    labels=LabelChanges(image_changed=0, model_changed=0, lost=0, gained=0, changed=0),
    pairs=(),
    examples=(),
)


def summary(
    labels: dict[str, int],
    last: dict[str, int] | None = None,
    held_out: dict[str, int] | None = None,
    **changes: Any,
) -> RunSummary:
    """Of a run whose images had these labels, beside others' labels; all of a probability of 0.97."""
    empty: dict[str, Any] = dict.fromkeys(RunSummary.model_fields)
    beside = None
    if last is not None:
        beside = LastRunSummary(
            run="night-0", labels=last, abstained=0, confidence=sure(last), drift=None, changes=CHANGES
        )
    fields: dict[str, Any] = {
        "run": "night-1",
        "source": "photos",
        "model": ModelIdentity(name="tiny", version=1, digest="d"),
        **dict.fromkeys(("left_out", "carried", "abstained", "seconds", "images_per_s"), 0),
        **{name: {} for name in ("left_out_kinds", "stages", "bad_examples")},
        "images": sum(labels.values()),
        "scored": sum(labels.values()),
        "statuses": {"ok": sum(labels.values())},
        "labels": labels,
        "confidence": sure(labels),
        "last": beside,
        "held_out": None if held_out is None else held_out_of(held_out),
    }
    return RunSummary.model_construct(**{**empty, **fields, **changes})


def held_out_of(labels: dict[str, int]) -> HeldOutSummary:
    histogram = Histogram(bins=sure(labels).bins)
    return HeldOutSummary(
        images=sum(labels.values()), labels=labels, abstained=0, confidence=histogram, drift=None
    )


def sure(labels: dict[str, int]) -> Confidence:
    return Confidence(bins=(*[0] * 19, sum(labels.values())), mean=0.97, median=0.97)


def classes_of(html: str) -> list[tuple[str, ...]]:
    """The cells of each class, and as parts of the widest bar its own and the last run's; "" for no bar."""
    rows = re.findall(
        r'<tr><th scope="row" class="text"><bdi>([^<]*)</bdi></th><td class="bar">(.*?)</td>(.*?)</tr>', html
    )
    return [(label, *re.findall(r"<td>(.*?)</td>", cells), *bars(drawn)) for label, drawn, cells in rows]


def bars(drawn: str) -> list[str]:
    """Rounded as a reader's eye does."""
    kinds = dict(re.findall(r'<i (class="last" )?style="--share: ([^"]+)">', drawn))
    return [f"{float(kinds[kind]):.3f}" if kind in kinds else "" for kind in ("", 'class="last" ')]


def test_each_class_has_its_images_and_shares_and_bars_beside_the_others() -> None:
    run = summary(
        {"cat": 6, "dog": 2},
        last={"dog": 1, "bird": 3, "ant": 3, "fox": 1},
        held_out={"cat": 1, "emu": 1, "ant": 1},
    )
    assert classes_of(summary_page(run, []).decode()) == [
        ("cat", "6", "75.0%", "0.0%", "33.3%", "1.000", ""),
        ("dog", "2", "25.0%", "12.5%", "0.0%", "0.333", "0.167"),
        ("ant", "0", "0.0%", "37.5%", "33.3%", "", "0.500"),
        ("bird", "0", "0.0%", "37.5%", "0.0%", "", "0.500"),
        ("fox", "0", "0.0%", "12.5%", "0.0%", "", "0.167"),
        ("emu", "0", "0.0%", "0.0%", "33.3%", "", ""),
    ]
    alone = summary_page(summary({"dog": 1, "cat": 1}), []).decode()
    assert classes_of(alone) == [("cat", "1", "50.0%", "1.000", ""), ("dog", "1", "50.0%", "1.000", "")]
    assert "other classes" not in alone
    assert 'class="last"' not in alone
    assert 'class="held_out"' not in alone


def test_a_night_without_a_label_stands_beside_the_others_all_the_same() -> None:
    run = summary({}, last={"cat": 2}, held_out={"dog": 2})
    assert classes_of(summary_page(run, []).decode()) == [
        ("cat", "0", "0.0%", "100.0%", "0.0%", "", "1.000"),
        ("dog", "0", "0.0%", "0.0%", "100.0%", "", ""),
    ]
    for last, held_out in ((None, {"dog": 2}), ({}, {}), (None, None)):
        html = summary_page(summary({}, last, held_out), []).decode()
        assert len(classes_of(html)) == len(held_out or ())
        assert "Nothing was there to be scored." in html


def test_what_is_not_shown_of_the_classes_is_counted() -> None:
    for classes, line in ((39, None), (40, None), (41, "The 1 other classes"), (61, "The 21 other classes")):
        html = summary_page(summary({f"class {n:02}": 1 for n in range(classes)}), []).decode()
        assert len(classes_of(html)) == min(classes, 40)
        assert (line in html) if line else ("other classes" not in html)


def test_bars_are_as_high_as_shares_and_the_highest_fills_its_place() -> None:
    ours = Confidence(bins=(*[0] * 10, 1, *[0] * 8, 3), mean=0.9, median=0.9)
    run = summary({"cat": 4}, last={"cat": 7}, confidence=ours)
    html = summary_page(run, []).decode()
    assert re.findall(r'<div title="([^"]*)"><i style="--share: ([^"]*)"></i>(.*?)</div>', html)[9:] == [
        ("0.45 to 0.5: 0.0%", "0.0", ""),
        ("0.5 to 0.55: 25.0%", "0.25", ""),
        *((f"{p / 20:g} to {(p + 1) / 20:g}: 0.0%", "0.0", "") for p in range(11, 19)),
        ("0.95 to 1: 75.0%", "0.75", '<i class="last" style="--share: 1.0"></i>'),
    ]
    assert "<td>25.0%</td><td>0.0%</td>" in html
    assert "<td>75.0%</td><td>100.0%</td>" in html


def test_a_drift_is_told_in_words() -> None:
    for word, psi, said in (
        ("none", 0.0999, "no change to speak of"),
        ("none", 0.1, "no more change than chance may give"),
        ("none", 0.3, "no more change than chance may give"),
        ("some", 0.2, "some change"),
        ("large", 0.3, "a large change"),
    ):
        drift = DriftScore(psi=psi, by_chance=0.05, word=word)
        held_out = held_out_of({"cat": 1}).model_copy(update={"drift": drift})
        html = summary_page(summary({"cat": 1}).model_copy(update={"held_out": held_out}), []).decode()
        assert f'there is <b class="{word}">{said}</b> (PSI {psi}, by chance up to 0.05)' in html
