"""The flame graph of a call: what it counts, and what it draws."""

import re
from xml.etree import ElementTree

from benchmarks.flame import COMPILED, draw, tree

LOOP = "main (server/__main__.py:9);BaseEventLoop._run_once (asyncio/base_events.py:1)"
RUN = f"{LOOP};Handle._run (asyncio/events.py:80)"
LINES = [
    f"{RUN};Service.classify (server/calls/service.py:10);put (server/queue/batcher.py:3) 20",
    f"{RUN};Service.classify (server/calls/service.py:12) 10",
    f"{RUN} 60",
    f"{LOOP};EpollSelector.select (selectors.py:4) 500",
    f"{RUN};tiny (server/errors.py:1) 0",
    "run (threading.py:1);_write_all (server/telemetry/log_queue.py:2) 100",
]


def test_only_the_work_of_the_event_loop_counts() -> None:
    whole = tree(LINES)
    assert whole.samples == 90
    (run,) = whole.callees.values()
    assert {name: frame.samples for name, frame in run.callees.items()} == {
        "Service.classify (server/calls/service.py)": 30,
        COMPILED: 60,
        "tiny (server/errors.py)": 0,
    }


def test_widths_are_shares_and_names_are_whole() -> None:
    svg = ElementTree.fromstring(draw(LINES))
    groups = svg.findall("{*}g")
    widths = {group.find("{*}title").text: float(group.find("{*}rect").get("width")) for group in groups}  # type: ignore[union-attr,arg-type]
    shares = {str(title).split(" ")[0]: width / 1200 for title, width in widths.items()}
    for name, share in (("Handle._run", 1), ("Service.classify", 1 / 3), ("put", 2 / 9), ("gRPC's", 2 / 3)):
        assert abs(shares[name] - share) < 0.001
    assert "tiny" not in shares
    labels = {text.text for text in svg.iter() if text.tag.endswith("text")}
    assert labels == {"Handle._run", "Service.classify", "put", COMPILED.partition(" (")[0]}
    assert all(re.match(r".+ \(.+\), [\d.]+%", str(title)) for title in widths)
