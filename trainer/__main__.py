"""`python -m trainer COMMAND`"""

if __name__ == "__main__":
    from fovea import entry

    entry.run("trainer.__main__")  # runs this program to its end

import os
import sys

from fovea import logs, tracing
from fovea.command_line import choose_command
from fovea.errors import ExitCode
from fovea.settings import load
from fovea.stores.patience import wait_for_stores
from trainer.config import (
    TRACED_AS,
    CanarySettings,
    CompareSettings,
    EvaluateSettings,
    ExportSettings,
    InspectSettings,
    LabelSettings,
    LabelsSettings,
    LookSettings,
    LrFindSettings,
    PromoteSettings,
    RollbackSettings,
    TrainSettings,
)
from trainer.options import MachineOptions

AnySettings = (
    LrFindSettings
    | TrainSettings
    | LabelsSettings
    | LabelSettings
    | EvaluateSettings
    | CompareSettings
    | PromoteSettings
    | RollbackSettings
    | CanarySettings
    | ExportSettings
    | InspectSettings
    | LookSettings
)
COMMANDS = {
    "lr-find": "find the learning rate by a range test",
    "train": "fine-tune, gate and publish a model",
    "labels": "find the labels that are most likely wrong",
    "label": "make a page to label captured images on, those first that would teach most",
    "evaluate": "measure a released model on new labelled images",
    "compare": "replay labelled images through two released models: what changed, and is it worse?",
    "promote": "make a version, or a candidate, the latest",
    "rollback": "make the version the latest that was so before",
    "canary": "try a version on a share of the calls beside the latest",
    "inspect": "show what a released model is and where it comes from",
    "export": "gate and publish a finished run again",
    "look": "make a page of what a trained network sees in an image",
}
SETTINGS: dict[str, type[AnySettings]] = {
    "lr-find": LrFindSettings,
    "train": TrainSettings,
    "labels": LabelsSettings,
    "label": LabelSettings,
    "evaluate": EvaluateSettings,
    "compare": CompareSettings,
    "promote": PromoteSettings,
    "rollback": RollbackSettings,
    "canary": CanarySettings,
    "inspect": InspectSettings,
    "export": ExportSettings,
    "look": LookSettings,
}


def main() -> ExitCode | None:
    command, arguments = choose_command(COMMANDS, sys.argv[1:], "python -m trainer")
    settings = load(SETTINGS[command], arguments, f"python -m trainer {command}", SETTINGS.values())
    logs.set_up(settings.log_level, settings.log_format)
    if isinstance(settings, MachineOptions):
        wait_for_stores(settings.store_patience_s)
    if isinstance(settings, (LrFindSettings, TrainSettings)):
        return _train(settings)
    with tracing.run_of(TRACED_AS, f"trainer {command}"):
        if isinstance(settings, (EvaluateSettings, InspectSettings)):
            _examine(settings)
        elif isinstance(settings, CompareSettings):
            _compare(settings)
        elif isinstance(settings, (PromoteSettings, RollbackSettings, CanarySettings)):
            _move_latest(settings)
        elif isinstance(settings, LookSettings):
            _look(settings)
        elif isinstance(settings, LabelsSettings):
            _find_label_errors(settings)
        elif isinstance(settings, LabelSettings):
            _label(settings)
        else:
            _export(settings)
    return None


def _examine(settings: EvaluateSettings | InspectSettings) -> None:
    from trainer.evaluate import command  # imports onnxruntime, which a wrong option need not wait for

    if isinstance(settings, EvaluateSettings):
        command.evaluate(settings)
    else:
        command.inspect(settings)


def _compare(settings: CompareSettings) -> None:
    from trainer.compare import command  # imports onnxruntime

    command.compare(settings)


def _move_latest(settings: PromoteSettings | RollbackSettings | CanarySettings) -> None:
    from trainer.compare import promoting  # imports onnxruntime

    if isinstance(settings, PromoteSettings):
        promoting.promote(settings)
    elif isinstance(settings, CanarySettings):
        promoting.canary(settings)
    else:
        promoting.rollback(settings)


def _look(settings: LookSettings) -> None:
    _prepare_torch()

    from trainer.explain import command  # imports torch

    command.look(settings)


def _find_label_errors(settings: LabelsSettings) -> None:
    _prepare_torch()

    from trainer.label_errors import command  # imports torch

    command.labels(settings)


def _label(settings: LabelSettings) -> None:
    _prepare_torch()

    from trainer.labelling import command  # imports torch

    command.label(settings)


def _export(settings: ExportSettings) -> None:
    _prepare_torch()

    from trainer import job  # imports torch

    job.export(settings)


def _train(settings: LrFindSettings | TrainSettings) -> ExitCode | None:
    _prepare_torch()

    from trainer import taking_part  # imports torch

    return taking_part.run(settings)


def _prepare_torch() -> None:
    # Before torch is loaded: on shared cores, OpenMP threads that spin while they wait cost three times the
    # CPU time that the training needs; those that sleep lose nothing that was seen.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # When a rank is killed, torch tells the others' users of its own frames, and an error says it.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
