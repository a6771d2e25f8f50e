"""From a few timed parts to what the whole run takes: its time, the machine's hours, the cost."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.filesize import decimal

from fovea.printable import printable
from scorer.files.manifest import PlannedImage
from scorer.files.plan import Plan
from scorer.files.rows import Status


@dataclass
class Reservoir:
    """Counts all images that are to be scored, and chooses `size` of them, each with the same chance.

    The choice is the same for the same images.
    Algorithm R of Vitter, Random Sampling with a Reservoir (1985).
    """

    size: int
    images: int = 0
    size_bytes: int = 0
    carried: int = 0
    """Images besides, whose rows are copied from an earlier run."""
    _chosen: list[PlannedImage] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    def add(self, images: Iterable[PlannedImage]) -> None:
        for image in images:
            if image.carried:
                self.carried += 1
            else:
                self._add(image)

    def images_at_random(self) -> list[PlannedImage]:
        """The chosen ones, in an order that says nothing."""
        return self._random.sample(self._chosen, len(self._chosen))

    def _add(self, image: PlannedImage) -> None:
        self.images += 1
        self.size_bytes += image.entry.size
        if len(self._chosen) < self.size:
            self._chosen.append(image)
        elif (place := self._random.randrange(self.images)) < self.size:
            self._chosen[place] = image


@dataclass(frozen=True)
class Part:
    """Some images that were scored together."""

    images: int
    seconds: float
    statuses: Counter[Status]

    @property
    def images_per_s(self) -> float:
        return self.images / self.seconds


@dataclass(frozen=True)
class Spread:
    """A number as the sample has it, and between which its parts, taken alone, would put it."""

    mean: float
    least: float
    most: float

    def times(self, factor: float) -> "Spread":
        return Spread(self.mean * factor, self.least * factor, self.most * factor)


@dataclass(frozen=True)
class Estimate:
    """How long `images` take, by the parts that were tried; there is at least one unless there are none."""

    images: int
    parts: Sequence[Part]
    statuses: Counter[Status]

    @property
    def tried(self) -> int:
        return sum(part.images for part in self.parts)

    @property
    def images_per_s(self) -> Spread:
        rates = [part.images_per_s for part in self.parts]
        return Spread(self.tried / sum(part.seconds for part in self.parts), min(rates), max(rates))

    @property
    def seconds(self) -> Spread:
        rate = self.images_per_s
        return Spread(self.images / rate.mean, self.images / rate.most, self.images / rate.least)


@dataclass(frozen=True)
class Price:
    """What an hour of this machine is."""

    cores: int
    on_gpu: bool
    per_hour: float | None


def describe(plan: Plan, sample: Reservoir, shards: int, estimate: Estimate, price: Price) -> str:
    """The dry run's page. `shards` are those that are not there yet."""
    spec = plan.spec
    previous = f", copied from run {plan.previous}" if plan.previous else ""
    lines = [
        f"dry run of {spec.source} by {spec.model_name} version {spec.model_version}: nothing is written",
        f"  to score    {sample.images:,} images, {decimal(sample.size_bytes)}; shards: {shards:,}",
        f"  carried     {sample.carried:,} images{previous}",
        *([f"  left out    {plan.left_out_line}"] if plan.left_out else []),
        *(_of_sample(estimate, price) if estimate.parts else [_NOTHING]),
    ]
    return "\n".join(map(printable, lines))


_NOTHING: Final = "  time        none: there is nothing to score"


def _of_sample(estimate: Estimate, price: Price) -> list[str]:
    statuses = ", ".join(f"{status} {count:,}" for status, count in estimate.statuses.most_common())
    spread_text = _with_range if len(estimate.parts) > 1 else _mean_alone
    hours = estimate.seconds.times(1 / 3600)
    lines = [
        f"  sample      {estimate.tried:,} images tried: {statuses}",
        f"  speed       {spread_text(estimate.images_per_s, '{:,.1f}'.format)} images/s",
        f"  time        about {spread_text(estimate.seconds, in_time)}",
        f"  machine     {_machine_hours(hours, price, spread_text)}",
    ]
    if price.per_hour is not None:
        cost = _amount(hours.times(price.per_hour), spread_text)
        lines.append(f"  cost        {cost}, at {price.per_hour:,g} an hour of this machine")
    if spread_text is _mean_alone:
        lines.append("  (too few images were tried to say how far off this may be)")
    return lines


def _machine_hours(hours: Spread, price: Price, spread_text: "_SpreadText") -> str:
    if price.on_gpu:
        return f"{_amount(hours, spread_text)} GPU hours"
    return f"{_amount(hours.times(price.cores), spread_text)} core hours, on the {price.cores} cores here"


_SpreadText = Callable[[Spread, Callable[[float], str]], str]


def _with_range(spread: Spread, text: Callable[[float], str]) -> str:
    mean, least, most = text(spread.mean), text(spread.least), text(spread.most)
    return f"{mean} ({least} to {most})" if least != most else mean


def _mean_alone(spread: Spread, text: Callable[[float], str]) -> str:
    return text(spread.mean)


def _amount(spread: Spread, spread_text: "_SpreadText") -> str:
    """Of hours or money, to the hundredth."""
    if spread.most < 0.01:
        return "less than 0.01" if spread.mean else "0"
    return f"about {spread_text(spread, '{:,.2f}'.format)}"


def in_time(seconds: float) -> str:
    """`3 h 20 min`, `4 min 10 s`, `12 s`: two units at most."""
    whole = max(1, round(seconds))
    if whole >= 3600:
        minutes = round(whole / 60)
        return f"{minutes // 60:,} h {minutes % 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
