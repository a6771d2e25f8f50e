"""What a command reads, and where it writes."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, JsonValue, PlainSerializer
from pydantic_settings import CliPositionalArg, NoDecode

from fovea.settings import EACH_WHOLE
from trainer.options.program import TrainerOptions


def sources_of(value: object) -> tuple[str, ...]:
    """--data as it is given or saved: one, or several as a list, as JSON of one, or with commas between.

    A comma is one between sources where .csv files follow, and else part of a name. The first of several may
    itself be several, as where a template puts FOVEA_TRAIN_DATA before others.
    """
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list | tuple) else (str(value),)
    if value.startswith("["):
        try:
            first, *others = map(str, json.loads(value))
        except ValueError:
            return (value,)
        return (*(sources_of(first) if others or first.startswith("[") else (first,)), *others)
    first, *others = value.split(",")
    return (first, *others) if others and all(other.endswith(".csv") for other in others) else (value,)


def each_given(value: object) -> tuple[str, ...]:
    """What an option has that may be given again and again: from the environment one, or JSON of several."""
    if isinstance(value, str) and value.startswith("["):
        with suppress(ValueError):
            value = json.loads(value)
    given = tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)
    if not all(given):
        raise ValueError("should have at least 1 character")
    return given


def _given(value: object) -> tuple[str, ...]:
    sources = sources_of(value)
    if not all(sources):
        raise ValueError("should have at least 1 character")
    return sources


def _as_saved(sources: Sequence[str]) -> JsonValue:
    """One as it always was, unless it would be read as two."""
    return sources[0] if sources_of(sources[0]) == tuple(sources) else list(sources)


Sources = Annotated[
    Sequence[str], NoDecode, EACH_WHOLE, BeforeValidator(_given), PlainSerializer(_as_saved, when_used="json")
]


class DataOptions(TrainerOptions):
    data: Sources = Field(
        description="a folder CLASS/*.jpg, a folder with train/ and val/, a CSV path,label[,split], a bucket "
        "URI of any of these, or `digits`: 1,797 real handwritten digits; after it, each by a --data of its "
        "own, folders or prefixes of captures (which may come first), and CSV files path,label[,decision] "
        "that correct labels and give captured images theirs",
    )

    @property
    def source(self) -> str:
        """Where the images are."""
        return self.data[0]

    @property
    def captures(self) -> tuple[str, ...]:
        """Folders of captured answers beside them, which have images and no labels."""
        return tuple(given for given in self.data[1:] if not given.endswith(".csv"))

    @property
    def corrections(self) -> tuple[str, ...]:
        """CSV files that correct their labels, of which a later one wins."""
        return tuple(given for given in self.data[1:] if given.endswith(".csv"))


class ModelsOptions(TrainerOptions):
    models: str = Field(
        min_length=1, description="where to publish: the model's folder of versions, a path or bucket URI"
    )


class BundleOptions(TrainerOptions):
    bundle: CliPositionalArg[str] = Field(
        "",
        validate_default=True,
        min_length=1,
        description="a released model, as models/pets/3, or a model's folder of versions, whose latest is "
        "taken; a path or bucket URI (required)",
    )


class ModelOptions(TrainerOptions):
    models: CliPositionalArg[str] = Field(
        "",
        validate_default=True,
        min_length=1,
        description="the model's folder of versions, a path or bucket URI (required)",
    )


class FinishedRunOptions(TrainerOptions):
    run: Path = Field(description="folder of the run")


class OutputOptions(TrainerOptions):
    output: Path | None = Field(
        None,
        description="folder for lr_find.png and lr_find.json, where older ones are replaced; default: one "
        "named after the time, below runs/lr-find",
    )
