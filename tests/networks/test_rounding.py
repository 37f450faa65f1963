from fractions import Fraction
from math import ceil

import pytest

from napari_tem_rf.networks.rounding import ceil_div, round_up


@pytest.mark.parametrize(
    ("length", "part"), [(0, 5), (1, 7), (7, 7), (8, 7), (512, 24), (10**17 + 1, 10)]
)
def test_parts_and_multiples_cover_a_length(length, part):
    """As fractions say, which never round; a quotient of floats is one too small for the last."""
    parts = ceil(Fraction(length, part))
    assert ceil_div(length, part) == parts
    assert round_up(length, part) == parts * part
