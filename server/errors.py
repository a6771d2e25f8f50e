"""Why the server does not answer a call; `statuses.py` gives each its gRPC status.

They know nothing of gRPC, so that the queue and whoever feeds it need not either.
"""


class Refused(Exception):
    """The call is not answered, for a reason that its caller may know."""

    reason = "refused"
    """A short word for the metrics."""


class FieldInvalid(Refused):
    """A field of the request is out of range."""

    reason = "invalid_field"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Unauthenticated(Refused):
    """Who calls is not said, or is nobody known."""

    reason = "unauthenticated"


class PermissionDenied(Refused):
    """Who calls is known, and may not call this."""

    reason = "permission_denied"

    def __init__(self, caller: str, message: str) -> None:
        super().__init__(message)
        self.caller = caller


class KeysUnreachable(Refused):
    """Whether a token holds cannot be found out now."""

    reason = "keys_unreachable"


class QueueFull(Refused):
    """As many images, or as many bytes, are in flight as may be."""

    reason = "queue_full"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """When there is likely to be room."""


class DeadlinePassed(Refused):
    """The caller's deadline passed before its image was computed, so it was not."""

    reason = "deadline_passed"

    def __init__(self, message: str = "", left_s: float | None = None) -> None:
        super().__init__(message)
        self.left_s = left_s
        """What was left of it, where the image was refused for that before it was queued."""


class Draining(Refused):
    """The server is shutting down."""

    reason = "draining"


class NoModelReady(Refused):
    """No model is loaded yet, or all that computes is being started again."""

    reason = "no_model"


class VersionNotLoaded(Refused):
    """Another version of the model was asked for than those that are loaded."""

    reason = "version_not_loaded"


class ModelUnknown(Refused):
    """Another model was asked for than the one that is served."""

    reason = "unknown_model"


class VersionRefused(Refused):
    """A newer version was asked for, and it is bad."""

    reason = "version_refused"


class FolderUnreachable(Refused):
    """Whether there is a newer version cannot be found out now."""

    reason = "folder_unreachable"


class Unsupported(Refused):
    """A protocol that the server speaks knows this, and the server does not do it."""

    reason = "unsupported"


class BodyTooLarge(Refused):
    """A request has more bytes than may be."""

    reason = "body_too_large"


class BodyStalled(Refused):
    """A request was begun, and the rest of it did not come."""

    reason = "body_stalled"


class BodyUnreadable(Refused):
    """A request's bytes are not what its headers say of them."""

    reason = "body_unreadable"


class EncodingUnknown(Refused):
    """A request's bytes are compressed in a way that is not known here."""

    reason = "body_encoding"


class ComputeFailed(Exception):
    """The model failed on the batch that this image was in; the cause is in `__cause__`."""
