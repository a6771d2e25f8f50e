"""Kubernetes' way to write numbers."""

import re

QUANTITY = re.compile(r"([0-9.]+)(m|Ki|Mi|Gi|Ti)?")
FACTORS = {None: 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def amount(quantity: str) -> float:
    """Cores or bytes."""
    match = QUANTITY.fullmatch(str(quantity))
    assert match, f"{quantity} is not a quantity"
    return float(match[1]) * FACTORS[match[2]]
