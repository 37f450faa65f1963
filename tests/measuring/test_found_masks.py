"""What a predicted mask says of itself, against counts by hand."""

import numpy as np
import pytest

from napari_tem_rf.measuring.found_masks import agreement_of_masks, found_mask, sureness


def square(side=10, shape=(30, 41)):
    mask = np.zeros(shape, bool)
    mask[5 : 5 + side, 7 : 7 + side] = True
    return mask


def test_outlines_of_a_square_are_counted_along_rows_and_columns():
    found = found_mask(square())
    assert found.foreground == pytest.approx(100 / (30 * 41), abs=1e-4)
    # ten rows are entered and left once, of 40 steps in each of 30 rows; ten columns, of 29 steps
    across, down = 20 / (30 * 40), 20 / (29 * 41)
    assert found.outline == pytest.approx((across + down) / 2, abs=1e-5)


def test_the_same_in_smaller_pieces_is_more_ragged():
    whole = np.zeros((64, 66), bool)
    whole[:, :32] = True
    pieces = np.zeros((64, 66), bool)
    pieces[:, ::2] = True
    pieces[:, 64:] = False
    assert found_mask(whole).foreground == found_mask(pieces).foreground
    assert found_mask(pieces).raggedness > found_mask(whole).raggedness + 3


def test_a_large_mask_is_looked_at_here_and_there():
    rng = np.random.default_rng(3)
    large = np.kron(rng.random((64, 60)) < 0.3, np.ones((24, 24), bool)).astype(bool)
    found = found_mask(large)
    across = np.mean(large[:, 1:] != large[:, :-1])
    down = np.mean(large[1:] != large[:-1])
    assert found.foreground == pytest.approx(large.mean(), abs=1e-4)
    assert found.outline == pytest.approx((across + down) / 2, rel=0.05)


def test_how_sure_by_the_formulas_written_out():
    rng = np.random.default_rng(5)
    shares = rng.integers(0, 256, (37, 53), dtype=np.uint8)
    mask = rng.random(shares.shape) < 0.4
    likely = shares / 255
    found = sureness(shares, mask)
    own = (2 * likely[mask].sum() + 1) / (likely.sum() + mask.sum() + 1)
    assert found.own_dice == pytest.approx(own, abs=1e-4)
    inner = likely[(shares > 0) & (shares < 255)]
    bits = -(inner * np.log2(inner) + (1 - inner) * np.log2(1 - inner))
    assert found.unsure == pytest.approx(bits.sum() / shares.size, abs=1e-4)


def test_a_sure_network_expects_all_of_itself():
    mask = square()
    found = sureness(np.where(mask, 255, 0).astype(np.uint8), mask)
    assert (found.own_dice, found.unsure) == (1, 0)


def test_agreement_is_dice():
    one, other = square(10), square(8)
    assert agreement_of_masks(one, other) == pytest.approx((2 * 64 + 1) / (100 + 64 + 1))
    assert agreement_of_masks(~one & one, ~one & one) == 1
