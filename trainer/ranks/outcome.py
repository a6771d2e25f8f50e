"""How ranks end: whatever ends one ends all, with the same exit code, and one of them says why."""

import json
import re
from typing import Final

from torch.distributed import DistError

from fovea.errors import ExitCode, FoveaError, Unavailable
from fovea.exits import code_of
from trainer.ranks.asked import Asked

KEY: Final = "outcome"
"""In the store: of the rank that ended first."""
_OF_A_PEER: Final = re.compile(
    r"gloo|nccl|tcpstore|connection (was )?(closed|reset|refused)|broken pipe|timed out", re.I
)

_TIMED_OUT: Final = re.compile(r"time(d )?out", re.I)


class Followed(FoveaError):
    """Another rank has ended, and with it this one; that one's own line says why."""

    def __init__(self, rank: int, code: int, reason: str) -> None:
        super().__init__(f"rank {rank} has ended, and all with it: {reason}")
        self.rank = rank
        self.reason = reason
        self.exit_code = ExitCode(code)


class RankGone(Unavailable):
    """A rank has ended without a word: it was killed, or its machine is away."""

    def __init__(self) -> None:
        super().__init__(f"another rank has gone without a word, as one that is killed does; {GOES_ON}")


class RankSilent(Unavailable):
    """A rank may be there, and does not come to where the others wait for it."""

    def __init__(self, rank: int | None = None) -> None:
        who = "another rank" if rank is None else f"rank {rank}"
        super().__init__(f"{who} did not answer within --ranks-patience-s; {GOES_ON}")


class RankReturned(Unavailable):
    """A rank was started anew while the others went on, or waited."""

    def __init__(self, rank: int) -> None:
        super().__init__(f"rank {rank} was started anew, so the one before has gone; {GOES_ON}")


GOES_ON: Final = "the same command with --run-id goes on from the last checkpoint"


def of_a_peer(error: BaseException) -> RankGone | RankSilent:
    """For what `is_of_a_peer`."""
    return RankSilent() if _TIMED_OUT.search(str(error)) else RankGone()


def tell(store: Asked, rank: int, error: BaseException | None) -> "Followed | None":
    """What ended this rank, None where all is done; only the first to tell is heard, and given to others."""
    code = ExitCode.DONE if error is None else code_of(error)
    reason = "" if error is None else str(error) or type(error).__name__
    text = json.dumps({"rank": rank, "code": int(code), "reason": reason})
    heard = store.compare_set(KEY, "", text)
    return None if heard == text else _followed(heard)


def told(store: Asked) -> "Followed | None":
    """What another rank has told, without waiting; the end of one that is done too."""
    if not store.check([KEY]):
        return None
    return _followed(store.get(KEY))


def _followed(text: str) -> Followed:
    said = json.loads(text)
    return Followed(said["rank"], said["code"], said["reason"])


def is_of_a_peer(error: BaseException) -> bool:
    """Whether it is what a collective or the store makes of the end of another rank.

    torch raises plain RuntimeErrors then, which only their texts tell from others.
    """
    if isinstance(error, DistError):
        return True
    return type(error) is RuntimeError and _OF_A_PEER.search(str(error)) is not None
