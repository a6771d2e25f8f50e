"""`python -m fovea.publish models/pets/3`: an older version once more, as the next one, to roll back."""

if __name__ == "__main__":
    from fovea import entry

    entry.run("fovea.publish")  # runs this program to its end

import logging
import shlex
import sys
from pathlib import Path
from typing import Final, Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from fovea import logs
from fovea.errors import BundleInvalid, SettingsInvalid
from fovea.logs import LogFormat, LogLevel
from fovea.model import versions
from fovea.model.bundle import CONTRACT_FILE, ModelBundle, Precision
from fovea.model.classifier import Classifier
from fovea.settings import ProgramSettings, load
from fovea.stopping import Stopping
from fovea.stores.conditional_puts import require_conditional_puts
from fovea.stores.storage import open_reachable

logger = logging.getLogger(__name__)

PROGRAM: Final = "python -m fovea.publish"


class PublishSettings(ProgramSettings):
    """Of the command."""

    model_config = SettingsConfigDict(env_prefix="FOVEA_PUBLISH_")

    bundle: CliPositionalArg[str] = Field(
        "",
        validate_default=True,
        min_length=1,
        description="the version to publish once more, as models/pets/3; a path or bucket URI (required)",
    )
    models: str | None = Field(
        None,
        min_length=1,
        description="the model's folder of versions that gets it, a path or bucket URI; default: the one "
        "that it lies in",
    )
    promote: Literal["always", "never"] = Field(
        "always",
        description="always makes it the latest version; never puts it below candidates/, from where "
        "`python -m trainer promote` makes it one",
    )
    cache_dir: Path | None = Field(
        None, description="where a bucket's version is downloaded to; default: fovea's in the user's cache"
    )
    log_level: LogLevel = Field("info", description="least severe messages that are logged")
    log_format: LogFormat = Field("auto", description="auto is text on a terminal and JSON elsewhere")


def main() -> None:
    settings = load(PublishSettings, sys.argv[1:], PROGRAM)
    logs.set_up(settings.log_level, settings.log_format)
    Stopping("stopped by SIGTERM; a version that is not whole is never served")
    uri = settings.bundle.rstrip("/")
    models = settings.models or uri.rpartition("/")[0] or "."
    if settings.promote == "never":
        candidate = versions.put_candidate(copied(uri, models, settings.cache_dir), models)
        print(f"put to {candidate}, a copy of {uri}")
        return
    contract = publish(uri, models, settings.cache_dir).contract
    print(f"published {contract.name} version {contract.version}, a copy of {uri}")


def publish(uri: str, models: str, cache_dir: Path | None = None) -> ModelBundle:
    """Copies a version to the next free number of `models`, if its models give their golden answers here.

    Raises what `copied` does.
    """
    return versions.publish(copied(uri, models, cache_dir), models)


def copied(uri: str, models: str, cache_dir: Path | None = None) -> ModelBundle:
    """What is to be published of a version, to `models`; nothing is yet.

    The copy's bundle.json says its own number, and under `training`, `copy_of`, where it comes from; all
    else, every file and digest, stays. It is written as every version is: claimed first, bundle.json last.
    Raises SettingsInvalid when `uri` names no version, or where the store of `models` would let one of two
    publishers replace the other's; BundleInvalid when it is damaged, fails its check or was never published
    itself; Unavailable when a store does not answer.
    """
    if not open_reachable(uri).exists(CONTRACT_FILE):
        known = ", ".join(map(str, versions.published(open_reachable(uri))))
        hint = f"; versions there: {known}, as {uri}/{known.rpartition(' ')[2]}" if known else ""
        raise SettingsInvalid(f"{uri}: not a version (there is no {CONTRACT_FILE} in it){hint}")
    bundle = versions.open_bundle(uri, cache_dir)
    if not bundle.contract.version and uri.rstrip("/").split("/")[-2:-1] == [versions.CANDIDATES]:
        promotion = f"python -m trainer promote {shlex.quote(uri)}"
        raise BundleInvalid(f"{uri}: a candidate; to make it the next version, and the latest: {promotion}")
    if not bundle.contract.version:
        raise BundleInvalid(
            f"{uri}: a model that its training did not publish, for what its report says; to publish it all "
            "the same: python -m trainer export --run RUN --models MODELS --publish-anyway"
        )
    require_conditional_puts(open_reachable(models))
    precisions: tuple[Precision, ...] = ("fp32", *bundle.contract.variants)
    for precision in precisions:
        Classifier(bundle, provider="cpu", precision=precision)
        logger.info("the golden check is passed", extra={"bundle": uri, "precision": precision})
    lineage = {**bundle.contract.training, "copy_of": uri}
    return ModelBundle(bundle.path, bundle.contract.model_copy(update={"training": lineage}))
