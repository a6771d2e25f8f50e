"""The report put together: first what is said, then as many pictures as there is room for."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import jinja2
from markupsafe import Markup

from fovea.model.bundle import BundleContract
from trainer.compare.weighing import Weighed
from trainer.evaluate.metrics import confusion, softmax
from trainer.explain.page import Fragment
from trainer.images.audit import read_audit
from trainer.pages.markup import STYLE, environment, inline, policy
from trainer.report.album import Album
from trainer.report.beside_latest import contents_beside_latest
from trainer.report.contents import Evidence, contents_of_confidence, contents_of_run
from trainer.report.explanation import render_explanation
from trainer.report.groups import contents_of_groups
from trainer.report.mistakes import show_doubtful, show_matrix, show_pairs, show_worst
from trainer.report.outcomes import Outcomes
from trainer.report.released import ReleasedFiles
from trainer.runs.run_folder import RunFolder

HERE: Final = Path(__file__).parent
PAGE_BYTES: Final = 4_800_000
PICTURES_BYTES: Final = 2_400_000


@dataclass(frozen=True)
class Assets:
    """Styles and scripts, and the policy by which the browser runs no other script and fetches nothing."""

    styles: list[Markup]
    scripts: list[Markup]
    policy: Markup


def render_report(
    run: RunFolder,
    contract: BundleContract,
    evidence: Evidence,
    released: ReleasedFiles,
    weighed: Weighed | None = None,
) -> str:
    """The page as text, of less than 5 MB. Reads the few held-out images that it shows.

    `weighed` is the model beside the latest version, where they were compared.
    """
    probabilities = softmax(evidence.logits / evidence.calibration.temperature)
    outcomes = Outcomes.of(probabilities, evidence.heldout.targets)
    counts = confusion(outcomes.predicted, outcomes.targets, len(contract.labels))
    page = _template()
    audit = read_audit(run)
    explanation = render_explanation(
        evidence.heldout, outcomes, evidence.network, contract.labels, evidence.calibration.temperature
    )
    contents = {
        **vars(contents_of_run(run, contract, audit, counts)),
        **vars(contents_of_confidence(evidence, probabilities, contract, audit)),
        **vars(contents_beside_latest(weighed, contract.labels)),
        **vars(contents_of_groups(run, audit, evidence.heldout, outcomes)),
        **vars(_assets(explanation)),
        "released": released,
        "wrong": int((outcomes.predicted != outcomes.targets).sum()),
        "explanation": explanation,
    }

    def render(budget_bytes: int) -> str:
        album = Album(evidence.heldout, outcomes, contract.labels, budget_bytes)
        worst = show_worst(album, evidence.heldout, outcomes, evidence.network) if budget_bytes else []
        doubtful = show_doubtful(album, evidence.heldout, outcomes, probabilities)
        pairs = show_pairs(album, outcomes, counts, contract.labels)
        matrix = show_matrix(album, outcomes, counts)
        return page.render(contents, worst=worst, doubtful=doubtful, pairs=pairs, matrix=matrix)

    room = PAGE_BYTES - len(render(0).encode())
    return render(max(0, min(PICTURES_BYTES, room)))


@cache
def _template() -> jinja2.Template:
    """Once, for it takes as long to compile as to render."""
    return environment(HERE).get_template("report.html.j2")


def _assets(explanation: Fragment | None) -> Assets:
    styles, scripts = [inline(STYLE)], [inline(HERE / "report.js")]
    if explanation:
        styles.append(explanation.style)
        scripts.append(explanation.script)
    return Assets(styles, scripts, policy(scripts))
