"""What gRPC logs as an error, with a traceback, though it is callers who bring it about, and no bug.

Calls of the server's own services are counted all the same, however they end.
"""

import logging
from typing import Final

_LOGGERS: Final = ("grpc._cython.cygrpc", "grpc._common", "grpc._server")
_BROUGHT_ABOUT: Final = {
    "ExecuteBatchError",  # who called hung up while the answer was being sent; the class is private to gRPC
    "DecodeError",  # bytes that are no request, to health or reflection
    "NotImplementedError",  # health's List
}


def leave_out_what_callers_do() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_ours)


def _is_ours(record: logging.LogRecord) -> bool:
    raised = record.exc_info[0] if record.exc_info else None
    return raised is None or raised.__name__ not in _BROUGHT_ABOUT
