"""A clock that moves when a test moves it."""


class ManualClock:
    """Stands in for `time.monotonic`, and begins at 0."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
