"""Division that rounds up, of whole numbers: ``math.ceil`` of a quotient loses large ones."""


def ceil_div(length: int, part: int) -> int:
    """Return how many parts cover a length."""
    return -(-length // part)


def round_up(length: int, period: int) -> int:
    """Return the smallest multiple of a period that is not below a length."""
    return ceil_div(length, period) * period
