"""How many images a second something does."""

import time
from collections.abc import Callable


def rate(step: Callable[[], int], seconds: float) -> float:
    """Images/s; `step` does some and says how many. It is run once before, which may take long."""
    step()
    images, began = 0, time.perf_counter()
    while time.perf_counter() <= began + seconds:
        images += step()
    return images / (time.perf_counter() - began)
