"""A page of suspicions, as if a network had said so."""

from tests.trainer.report.made import make_images
from trainer.label_errors.page import render_page
from trainer.label_errors.suspects import Suspect, SuspectsRecord

LABELS = ("cat", "dog", "owl")


def made_record(
    *suspects: tuple[str, str, str], labels: tuple[str, ...] = LABELS, **changes: object
) -> SuspectsRecord:
    """Of suspicions that are each a path, its label and what the network says."""
    record = SuspectsRecord(
        settings={"data": "photos"},
        data_digest="d" * 64,
        images=1000,
        judged=1000,
        kept=0,
        folds=4,
        accuracy=0.9,
        warning=None,
        learning_rate=0.01,
        temperature=1.0,
        labels=labels,
        suspects=tuple(
            Suspect(
                rank=rank,
                path=path,
                label=label,
                suggested=said,
                probability=0.98765,
                probability_of_label=0.001,
            )
            for rank, (path, label, said) in enumerate(suspects, 1)
        ),
    )
    return record.model_copy(update=changes)


def made_page(record: SuspectsRecord) -> str:
    targets = [record.labels.index(suspect.label) for suspect in record.suspects]
    return render_page(record, make_images(targets, record.labels))
