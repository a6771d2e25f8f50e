"""What a call is known by, where versions share the calls: its caller's key, or else its own id."""

from fovea.sticky import STICKY_KEY
from server.calls.answering import Context


def key_of(context: Context, request_id: str) -> str:
    """Empty where the caller has given neither."""
    for name, value in context.invocation_metadata() or ():
        if name == STICKY_KEY and value:
            return value if isinstance(value, str) else value.decode(errors="backslashreplace")
    return request_id
