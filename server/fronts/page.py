"""A page of memory that a server and its fronts share: what each front has in flight, and what it counted."""

import mmap
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, product
from operator import itemgetter
from typing import Final, TypeAlias

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from server.queue.priorities import InFlight, Ledger
from server.telemetry.call_metrics import REFUSED, REQUEST_SECONDS, REQUESTS, SECONDS, Family

_CELL_BYTES: Final = 8
_RETRY, _HEAD = 0, 8
"""Cells before the first row."""
_IN_FLIGHT: Final = 4
"""Cells that a row begins with."""
_BUCKETS: Final = len(SECONDS) + 1
"""That of all others is the last."""


def _series(family: Family) -> list[tuple[str, ...]]:
    """The values of its labels, in the order in which they are counted."""
    return list(product(*family.labels.values()))


_COUNTERS: Final = {REQUESTS.name: 0, REFUSED.name: len(_series(REQUESTS))}
"""Where each family begins."""
_HISTOGRAM: Final = _COUNTERS[REFUSED.name] + len(_series(REFUSED))
_COUNTED: Final = _HISTOGRAM + len(_series(REQUEST_SECONDS)) * (_BUCKETS + 1)
"""Cells of what a front counts; those of a histogram are its buckets and the sum."""
_EXEMPLAR: Final = 5
"""Cells of one: when it was seen, what it took, two of its trace's id, and its span's."""
_EXEMPLARS: Final = len(_series(REQUEST_SECONDS)) * _BUCKETS * _EXEMPLAR
"""Cells of the latest of each bucket."""
_ROW: Final = _IN_FLIGHT + _COUNTED + _EXEMPLARS

Cells: TypeAlias = "memoryview[float]"
Exemplars: TypeAlias = "tuple[memoryview[float], memoryview[int]]"
"""The same cells, of float64 and of uint64."""


class Page:
    """A row for each front, and one for what those counted that have ended.

    A cell is written by one process alone, and at once.
    """

    def __init__(self, descriptor: int, fronts: int) -> None:
        """`descriptor` is of a file that `create` made."""
        self.descriptor = descriptor
        self.fronts = fronts
        memory = memoryview(mmap.mmap(descriptor, _size(fronts)))
        self._whole = memory.cast("q")
        self._real: Cells = memory.cast("d")
        self._ids = memory.cast("Q")
        self._moving = threading.Lock()

    @classmethod
    def create(cls, fronts: int) -> "Page":
        descriptor = os.memfd_create("fovea-page")
        os.ftruncate(descriptor, _size(fronts))
        return cls(descriptor, fronts)

    @property
    def retry_after_s(self) -> float:
        """When a full queue will have moved on noticeably, as the server last said."""
        return float(self._real[_RETRY])

    @retry_after_s.setter
    def retry_after_s(self, seconds: float) -> None:
        self._real[_RETRY] = seconds

    def in_flight(self) -> InFlight:
        """Of all fronts."""
        cells, starts = self._whole, range(_HEAD, _HEAD + self.fronts * _ROW, _ROW)
        return InFlight(*(sum(cells[start + place] for start in starts) for place in range(_IN_FLIGHT)))

    def put_in_flight(self, front: int, own: InFlight) -> None:
        start = _HEAD + front * _ROW
        cells = self._whole
        cells[start] = own.images
        cells[start + 1] = own.bytes
        cells[start + 2] = own.bulk_images
        cells[start + 3] = own.bulk_bytes

    def counted_by(self, front: int) -> "Cells":
        """float64, to be counted in."""
        start = _HEAD + front * _ROW + _IN_FLIGHT
        return self._real[start : start + _COUNTED]

    def exemplars_of(self, front: int) -> Exemplars:
        """To be written by it alone. They stay when it has ended."""
        start = _HEAD + front * _ROW + _IN_FLIGHT + _COUNTED
        return self._real[start : start + _EXEMPLARS], self._ids[start : start + _EXEMPLARS]

    def counted(self) -> list[float]:
        """By all, those too that have ended."""
        with self._moving:
            rows = [self.counted_by(front).tolist() for front in range(self.fronts + 1)]
        return [sum(values) for values in zip(*rows, strict=True)]

    def end(self, front: int) -> None:
        """It has ended: nothing of it is in flight, and what it counted stays."""
        self.put_in_flight(front, InFlight())
        with self._moving:
            own, ended = self.counted_by(front), self.counted_by(self.fronts)
            for place, value in enumerate(own.tolist()):
                if value:
                    ended[place] += value
                    own[place] = 0.0


def _size(fronts: int) -> int:
    return _CELL_BYTES * (_HEAD + (fronts + 1) * _ROW)


class SharedLedger(Ledger):
    """What a front has in flight, which the others see as soon as it is there."""

    def __init__(self, page: Page, front: int) -> None:
        super().__init__()
        self._page = page
        self._front = front
        self._fence = threading.Lock()  # what is written comes before what is read, to others too

    def total(self) -> InFlight:
        return self._page.in_flight()

    def changed(self) -> None:
        self._page.put_in_flight(self._front, self.own)
        with self._fence:
            pass


class _Cell:
    """One series of a counter."""

    __slots__ = ("_cells", "_place")

    def __init__(self, cells: Cells, place: int) -> None:
        self._cells = cells
        self._place = place

    def inc(self, amount: float = 1) -> None:
        self._cells[self._place] += amount


class _Buckets:
    """One series of a histogram."""

    __slots__ = ("_cells", "_exemplars", "_number", "_place")

    def __init__(self, cells: Cells, exemplars: Exemplars, number: int) -> None:
        self._cells = cells
        self._exemplars = exemplars
        self._number = number
        self._place = _HISTOGRAM + number * (_BUCKETS + 1)

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        bucket = bisect_left(SECONDS, amount)
        self._cells[self._place + bucket] += 1
        self._cells[self._place + _BUCKETS] += amount
        if exemplar is not None:
            self._keep(bucket, amount, exemplar["trace_id"], exemplar["span_id"])

    def _keep(self, bucket: int, amount: float, trace_id: str, span_id: str) -> None:
        """Its time is written last, and taken away first: of what is only half there nobody makes use."""
        real, ids = self._exemplars
        place = (self._number * _BUCKETS + bucket) * _EXEMPLAR
        real[place] = 0.0
        real[place + 1] = amount
        ids[place + 2], ids[place + 3], ids[place + 4] = (
            int(part, 16) for part in (trace_id[:16], trace_id[16:], span_id)
        )
        real[place] = time.time()


class _Counter:
    def __init__(self, cells: Cells, family: Family) -> None:
        start = _COUNTERS[family.name]
        self._series = {values: _Cell(cells, place) for place, values in enumerate(_series(family), start)}

    def labels(self, *values: str) -> _Cell:
        return self._series[values]


class _Histogram:
    def __init__(self, cells: Cells, exemplars: Exemplars, family: Family) -> None:
        self._series = {
            values: _Buckets(cells, exemplars, number) for number, values in enumerate(_series(family))
        }

    def labels(self, *values: str) -> _Buckets:
        return self._series[values]


class SharedCallMetrics:
    """What a front counts of its calls; see `CallMetrics`."""

    def __init__(self, page: Page, front: int) -> None:
        cells = page.counted_by(front)
        self.requests = _Counter(cells, REQUESTS)
        self.refused = _Counter(cells, REFUSED)
        self.request_seconds = _Histogram(cells, page.exemplars_of(front), REQUEST_SECONDS)


class SummedCallMetrics(Collector):
    """What all fronts counted, for the page of the server's metrics."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def collect(self) -> Iterator[Metric]:
        counted = self._page.counted()
        for family in (REQUESTS, REFUSED):
            shown = CounterMetricFamily(family.name, family.text, labels=[*family.labels])
            for place, values in enumerate(_series(family), _COUNTERS[family.name]):
                shown.add_metric(values, counted[place])
            yield shown
        exemplars = [self._page.exemplars_of(front) for front in range(self._page.fronts)]
        yield _shown_seconds(counted, exemplars)


def _shown_seconds(counted: Sequence[float], exemplars: Sequence[Exemplars]) -> HistogramMetricFamily:
    family = REQUEST_SECONDS
    shown = HistogramMetricFamily(family.name, family.text, labels=[*family.labels])
    for number, values in enumerate(_series(family)):
        start = _HISTOGRAM + number * (_BUCKETS + 1)
        counts = accumulate(counted[start : start + _BUCKETS])
        bounds = map(floatToGoString, (*SECONDS, float("inf")))
        buckets = [
            (bound, count, *_latest(exemplars, number * _BUCKETS + bucket))
            for bucket, (bound, count) in enumerate(zip(bounds, counts, strict=True))
        ]
        shown.add_metric(values, buckets, counted[start + _BUCKETS])
    return shown


def _latest(exemplars: Sequence[Exemplars], bucket: int) -> tuple[Exemplar] | tuple[()]:
    """Of all fronts, in this bucket of this series, if there is one."""
    place = bucket * _EXEMPLAR
    seen, (real, ids) = max(((real[place], (real, ids)) for real, ids in exemplars), key=itemgetter(0))
    if not seen:
        return ()
    first, second, span = ids[place + 2], ids[place + 3], ids[place + 4]
    exemplar = Exemplar(
        {"trace_id": f"{first:016x}{second:016x}", "span_id": f"{span:016x}"}, real[place + 1], seen
    )
    return (exemplar,) if real[place] == seen else ()  # else another one is being written
