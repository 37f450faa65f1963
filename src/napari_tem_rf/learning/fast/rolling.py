"""A residual block on the CPU for prediction, two rows at a time, compiled by Numba.

What lies between the layers is never written as a map: of each layer six rows of a few hundred
columns are kept, in the cache, and as soon as the next layer has what it needs it goes on by two
rows. So the first and the last block of a network, and the classes, are one walk over the image.

A roll holds the rows of all channels of a layer: channel after channel six rows of `LINE` floats,
row r of the map in slot r % 6, with a frame of one pixel of zeros on both sides. Batch norms are
folded into the convs. Maps are float32, (channel, row, column), planes of rows.

All rows of a roll lie at distances that the compiler knows: it only makes vectors of a loop where
it can see that what is written is not read.
"""

import numpy as np

from napari_tem_rf.learning.fast.bands import kernel
from napari_tem_rf.learning.fast.levels import interleave

LINE = 576
"""Floats of a row of a roll."""

SLOTS = 6
"""Rows of a roll: a pair, the pair before, and the pair after."""

CHANNEL = SLOTS * LINE

REACH = 4
"""How far the four convs of the two blocks see."""


NOTHING = np.int32(0)
"""Floats are cut at 0, and those above compared, as the whole numbers that their bits are: these
have the same order, and of the maximum of floats Numba makes no vectors."""


# convs of two rows


@kernel
def _conv_two(roll, a, b, c, d, i, n, weight, o, target, slot):
    """Add the 3x3 conv of channel ``i`` to two rows of channel ``o`` and of the next.

    The rows are those between the slots ``a`` and ``d`` of the source.
    """
    begin = i * CHANNEL
    first = roll[begin + a * LINE : begin + a * LINE + n + 2]
    second = roll[begin + b * LINE : begin + b * LINE + n + 2]
    third = roll[begin + c * LINE : begin + c * LINE + n + 2]
    fourth = roll[begin + d * LINE : begin + d * LINE + n + 2]
    begin = o * CHANNEL + slot * LINE + 1
    z = target[begin : begin + CHANNEL + LINE + n]
    p, q = weight[o, i], weight[o + 1, i]
    p0, p1, p2, q0, q1, q2 = p[0, 0], p[0, 1], p[0, 2], q[0, 0], q[0, 1], q[0, 2]
    p3, p4, p5, q3, q4, q5 = p[1, 0], p[1, 1], p[1, 2], q[1, 0], q[1, 1], q[1, 2]
    p6, p7, p8, q6, q7, q8 = p[2, 0], p[2, 1], p[2, 2], q[2, 0], q[2, 1], q[2, 2]
    for k in range(n):
        a0, a1, a2 = first[k], first[k + 1], first[k + 2]
        a3, a4, a5 = second[k], second[k + 1], second[k + 2]
        a6, a7, a8 = third[k], third[k + 1], third[k + 2]
        b6, b7, b8 = fourth[k], fourth[k + 1], fourth[k + 2]
        z[k] += (
            p0 * a0 + p1 * a1 + p2 * a2 + p3 * a3 + p4 * a4 + p5 * a5 + p6 * a6 + p7 * a7 + p8 * a8
        )
        z[LINE + k] += (
            p0 * a3 + p1 * a4 + p2 * a5 + p3 * a6 + p4 * a7 + p5 * a8 + p6 * b6 + p7 * b7 + p8 * b8
        )
        z[CHANNEL + k] += (
            q0 * a0 + q1 * a1 + q2 * a2 + q3 * a3 + q4 * a4 + q5 * a5 + q6 * a6 + q7 * a7 + q8 * a8
        )
        z[CHANNEL + LINE + k] += (
            q0 * a3 + q1 * a4 + q2 * a5 + q3 * a6 + q4 * a7 + q5 * a8 + q6 * b6 + q7 * b7 + q8 * b8
        )


@kernel
def _conv_one(roll, a, b, c, d, i, n, weight, o, target, slot):
    """Add the 3x3 conv of channel ``i`` to two rows of channel ``o``."""
    begin = i * CHANNEL
    first = roll[begin + a * LINE : begin + a * LINE + n + 2]
    second = roll[begin + b * LINE : begin + b * LINE + n + 2]
    third = roll[begin + c * LINE : begin + c * LINE + n + 2]
    fourth = roll[begin + d * LINE : begin + d * LINE + n + 2]
    begin = o * CHANNEL + slot * LINE + 1
    z = target[begin : begin + LINE + n]
    p = weight[o, i]
    p0, p1, p2 = p[0, 0], p[0, 1], p[0, 2]
    p3, p4, p5 = p[1, 0], p[1, 1], p[1, 2]
    p6, p7, p8 = p[2, 0], p[2, 1], p[2, 2]
    for k in range(n):
        a3, a4, a5 = second[k], second[k + 1], second[k + 2]
        a6, a7, a8 = third[k], third[k + 1], third[k + 2]
        z[k] += (
            p0 * first[k] + p1 * first[k + 1] + p2 * first[k + 2]
            + p3 * a3 + p4 * a4 + p5 * a5 + p6 * a6 + p7 * a7 + p8 * a8
        )  # fmt: skip
        z[LINE + k] += (
            p0 * a3 + p1 * a4 + p2 * a5 + p3 * a6 + p4 * a7 + p5 * a8
            + p6 * fourth[k] + p7 * fourth[k + 1] + p8 * fourth[k + 2]
        )  # fmt: skip


@kernel
def _conv(roll, channels, pair, n, weight, target, slot):
    """Add the 3x3 conv of a roll to a pair of rows of another."""
    b = 2 * pair % SLOTS
    a, c, d = (b + SLOTS - 1) % SLOTS, b + 1, (b + 2) % SLOTS
    outs = weight.shape[0]
    for o in range(0, outs - 1, 2):
        for i in range(channels):
            _conv_two(roll, a, b, c, d, i, n, weight, o, target, slot)
    if outs % 2:
        for i in range(channels):
            _conv_one(roll, a, b, c, d, i, n, weight, outs - 1, target, slot)


@kernel
def _add_pointwise(roll, channels, pair, n, weight, target, slot):
    """Add the 1x1 conv of a roll to a pair of rows of another."""
    for o in range(weight.shape[0]):
        begin = o * CHANNEL + slot * LINE + 1
        z = target[begin : begin + LINE + n]
        four = channels // 4 * 4
        for i in range(0, four, 4):
            begin = i * CHANNEL + 2 * pair % SLOTS * LINE + 1
            x = roll[begin : begin + 3 * CHANNEL + LINE + n]
            p0, p1, p2, p3 = weight[o, i], weight[o, i + 1], weight[o, i + 2], weight[o, i + 3]
            for k in range(n):
                z[k] += (
                    p0 * x[k] + p1 * x[CHANNEL + k] + p2 * x[2 * CHANNEL + k]
                    + p3 * x[3 * CHANNEL + k]
                )  # fmt: skip
                z[LINE + k] += (
                    p0 * x[LINE + k] + p1 * x[CHANNEL + LINE + k]
                    + p2 * x[2 * CHANNEL + LINE + k] + p3 * x[3 * CHANNEL + LINE + k]
                )  # fmt: skip
        for i in range(four, channels):
            begin = i * CHANNEL + 2 * pair % SLOTS * LINE + 1
            x, p = roll[begin : begin + LINE + n], weight[o, i]
            for k in range(n):
                z[k] += p * x[k]
                z[LINE + k] += p * x[LINE + k]


@kernel
def _fill(values, n, target, slot):
    """Write a value for each channel to a pair of rows."""
    for o in range(len(values)):
        begin = o * CHANNEL + slot * LINE + 1
        z, value = target[begin : begin + LINE + n], values[o]
        for k in range(n):
            z[k] = value
            z[LINE + k] = value


@kernel
def _cut(channels, pair, begin, end, n, target, slot):
    """Apply the ReLU to a pair of rows; those of no map become zeros."""
    for row in range(2):
        inside = begin <= 2 * pair + row < end
        for o in range(channels):
            start = o * CHANNEL + (slot + row) * LINE + 1
            z = target[start : start + n]
            if inside:
                bits = z.view(np.int32)
                for k in range(n):
                    bits[k] = max(bits[k], NOTHING)
            else:
                z[:] = 0


@kernel
def _load(x, pair, begin, end, left, n, roll):
    """Copy a pair of rows of a map into a roll."""
    for row in range(2):
        r, slot = 2 * pair + row, 2 * pair % SLOTS + row
        inside = begin <= r < end
        for i in range(x.shape[0]):
            start = i * CHANNEL + slot * LINE + 1
            z = roll[start : start + n]
            if inside:
                source = x[i, r, left : left + n]
                for k in range(n):
                    z[k] = source[k]
            else:
                z[:] = 0


@kernel
def _encode(x, roll_x, roll_y, roll, pair, begin, end, left, n, w1, b1, w2, b2, shortcut):
    """Go on by a pair of rows: load it, and write the result of the pair two before."""
    _load(x, pair, begin, end, left, n, roll_x)
    at = pair - 1
    slot = (2 * at + SLOTS) % SLOTS
    if 2 * at >= begin:
        _fill(b1, n, roll_y, slot)
        _conv(roll_x, x.shape[0], at + SLOTS, n, w1, roll_y, slot)
        _cut(len(b1), at, begin, end, n, roll_y, slot)
    at = pair - 2
    slot = (2 * at + SLOTS) % SLOTS
    if 2 * at >= begin:
        _fill(b2, n, roll, slot)
        _conv(roll_y, len(b1), at + SLOTS, n, w2, roll, slot)
        _add_pointwise(roll_x, x.shape[0], at + SLOTS, n, shortcut, roll, slot)
        _cut(len(b2), at, begin, end, n, roll, slot)


@kernel
def encode(x, w1, b1, w2, b2, shortcut, pool, first, last, pooled):
    """Write rows ``first`` to ``last`` of a block's output, pooled.

    Parameters
    ----------
    x : array (channel in, row, column)
    w1, b1, w2, b2, shortcut : arrays
        Weights and biases of the convs, norms folded in; the shortcut's bias is part of ``b2``.
    pool : int
    first, last : int
        On multiples of the pool.
    pooled : array (channel, row / pool, column / pool)
    """
    height, width = x.shape[1:]
    channels = len(b2)
    begin, end = max(0, first - 2) // 2 * 2, min(height, last + 2)
    margin = -(-2 // pool) * pool
    step = (LINE - 2 - 2 * margin) // pool * pool
    roll_x = np.empty(x.shape[0] * CHANNEL, np.float32)
    roll_y = np.empty(channels * CHANNEL, np.float32)
    roll = np.empty(channels * CHANNEL, np.float32)
    best = np.empty((channels, LINE), np.int32)
    for start in range(0, width, step):
        stop = min(start + step, width)
        left, right = max(0, start - margin), min(width, stop + margin)
        n = right - left
        roll_x[:] = 0
        roll_y[:] = 0
        roll[:] = 0
        for pair in range(begin // 2, (last + 1) // 2 + 2):
            _encode(x, roll_x, roll_y, roll, pair, begin, end, left, n, w1, b1, w2, b2, shortcut)
            for r in range(2 * pair - 4, 2 * pair - 2):
                if r < first or r >= last:
                    continue
                for o in range(channels):
                    base = o * CHANNEL + r % SLOTS * LINE + 1 + start - left
                    source = roll[base : base + stop - start]
                    largest = pooled[o, r // pool, start // pool : stop // pool]
                    _pool(source, best[o], r % pool, pool, largest)


@kernel
def _pool(row, best, place, pool, largest):
    """Take a row into the maxima of its cells, and write them where it is the cells' last one.

    No pixel is below 0.
    """
    bits, out = row.view(np.int32), largest.view(np.int32)
    if place == 0:
        for k in range(len(bits)):
            best[k] = bits[k]
    else:
        for k in range(len(bits)):
            best[k] = max(best[k], bits[k])
    if place < pool - 1:
        return
    if pool == 2:
        for k in range(len(out)):
            out[k] = max(best[2 * k], best[2 * k + 1])
    elif pool == 4:
        for k in range(len(out)):
            low, high = max(best[4 * k], best[4 * k + 1]), max(best[4 * k + 2], best[4 * k + 3])
            out[k] = max(low, high)
    else:
        for k in range(len(out)):
            most = best[pool * k]
            for j in range(1, pool):
                most = max(most, best[pool * k + j])
            out[k] = most


# decoders


@kernel
def _phases(below, q, left, small, pool, line, weight, own, bias, kinds):
    """Write the conv of a row of cells, before it is widened: 3 kinds of rows, 3 of columns.

    ``kinds`` is, for each channel out, nine lines. ``line`` holds three framed rows of a channel.
    """
    height, width = below.shape[1:]
    outs = weight.shape[0]
    for o in range(outs):
        kinds[9 * o * LINE : 9 * (o + 1) * LINE] = bias[o]
    for i in range(below.shape[0]):
        for row in range(3):
            r = q + row - 1
            z = line[row * LINE : row * LINE + small + 2]
            z[:] = 0
            if 0 <= r < height:
                source = below[i, r]
                for k in range(max(0, 1 - left), min(small + 2, width + 1 - left)):
                    z[k] = source[left + k - 1]
        o = 0
        if pool == 2:
            while o < outs - 1:
                _add_corners(
                    line, small, weight[o, own + i], weight[o + 1, own + i],
                    kinds[9 * o * LINE : 9 * (o + 2) * LINE],
                )  # fmt: skip
                o += 2
        while o < outs:
            here = kinds[9 * o * LINE : 9 * (o + 1) * LINE]
            _add_phases(line, small, weight[o, own + i], here)
            o += 1


@kernel
def _add_corners(line, small, v, w, z):
    """Add what `_add_phases` does to two channels, of cells that are all corners."""
    above, at = line[: small + 2], line[LINE : LINE + small + 2]
    under = line[2 * LINE : 2 * LINE + small + 2]
    a0, a1, a2, a3 = v[0, 0], v[0, 1] + v[0, 2], v[0, 0] + v[0, 1], v[0, 2]
    b0, b1, b2, b3 = w[0, 0], w[0, 1] + w[0, 2], w[0, 0] + w[0, 1], w[0, 2]
    c0, c3 = v[1, 0] + v[2, 0], v[1, 2] + v[2, 2]
    d0, d3 = w[1, 0] + w[2, 0], w[1, 2] + w[2, 2]
    middle, other = v[1, 1] + v[2, 1], w[1, 1] + w[2, 1]
    c1, c2, d1, d2 = middle + c3, middle + c0, other + d3, other + d0
    e0, e3 = v[0, 0] + v[1, 0], v[0, 2] + v[1, 2]
    f0, f3 = w[0, 0] + w[1, 0], w[0, 2] + w[1, 2]
    middle, other = v[0, 1] + v[1, 1], w[0, 1] + w[1, 1]
    e1, e2, f1, f2 = middle + e3, middle + e0, other + f3, other + f0
    g0, g1, g2, g3 = v[2, 0], v[2, 1] + v[2, 2], v[2, 0] + v[2, 1], v[2, 2]
    h0, h1, h2, h3 = w[2, 0], w[2, 1] + w[2, 2], w[2, 0] + w[2, 1], w[2, 2]
    for k in range(small):
        x0, x1, x2 = above[k], above[k + 1], above[k + 2]
        y0, y1, y2 = at[k], at[k + 1], at[k + 2]
        u0, u1, u2 = under[k], under[k + 1], under[k + 2]
        z[k] += a0 * x0 + a1 * x1 + c0 * y0 + c1 * y1
        z[2 * LINE + k] += a2 * x1 + a3 * x2 + c2 * y1 + c3 * y2
        z[6 * LINE + k] += e0 * y0 + e1 * y1 + g0 * u0 + g1 * u1
        z[8 * LINE + k] += e2 * y1 + e3 * y2 + g2 * u1 + g3 * u2
        z[9 * LINE + k] += b0 * x0 + b1 * x1 + d0 * y0 + d1 * y1
        z[11 * LINE + k] += b2 * x1 + b3 * x2 + d2 * y1 + d3 * y2
        z[15 * LINE + k] += f0 * y0 + f1 * y1 + h0 * u0 + h1 * u1
        z[17 * LINE + k] += f2 * y1 + f3 * y2 + h2 * u1 + h3 * u2


@kernel
def _add_phases(line, small, w, z):
    """Add the products of a channel's three rows with its kernel."""
    above, at = line[: small + 2], line[LINE : LINE + small + 2]
    under = line[2 * LINE : 2 * LINE + small + 2]
    w0, w1, w2, w3, w4, w5 = w[0, 0], w[0, 1], w[0, 2], w[1, 0], w[1, 1], w[1, 2]
    w6, w7, w8 = w[2, 0], w[2, 1], w[2, 2]
    # rows: first of a cell (its row above lies in the cell above), inner, last
    f0, f1, f2 = w3 + w6, w4 + w7, w5 + w8
    l0, l1, l2 = w0 + w3, w1 + w4, w2 + w5
    i0, i1, i2 = f0 + w0, f1 + w1, f2 + w2
    w12, w01, f12, f01 = w1 + w2, w0 + w1, f1 + f2, f0 + f1
    w78, w67, l12, l01 = w7 + w8, w6 + w7, l1 + l2, l0 + l1
    i12, i01 = i1 + i2, i0 + i1
    w012, f012, i012, l012, w678 = w0 + w12, f0 + f12, i0 + i12, l0 + l12, w6 + w78
    for k in range(small):
        a0, a1, a2 = above[k], above[k + 1], above[k + 2]
        b0, b1, b2 = at[k], at[k + 1], at[k + 2]
        z[k] += w0 * a0 + w12 * a1 + f0 * b0 + f12 * b1
        z[LINE + k] += w012 * a1 + f012 * b1
        z[2 * LINE + k] += w01 * a1 + w2 * a2 + f01 * b1 + f2 * b2
        z[3 * LINE + k] += i0 * b0 + i12 * b1
        z[4 * LINE + k] += i012 * b1
        z[5 * LINE + k] += i01 * b1 + i2 * b2
    for k in range(small):
        b0, b1, b2 = at[k], at[k + 1], at[k + 2]
        a0, a1, a2 = under[k], under[k + 1], under[k + 2]
        z[6 * LINE + k] += w6 * a0 + w78 * a1 + l0 * b0 + l12 * b1
        z[7 * LINE + k] += w678 * a1 + l012 * b1
        z[8 * LINE + k] += w67 * a1 + w8 * a2 + l01 * b1 + l2 * b2


@kernel
def _widen_cells(kinds, small, pool, wide):
    """Write the rows that a row of cells adds to the first conv: first, inner, last."""
    for o in range(wide.shape[0]):
        for kind in range(3):
            if kind == 1 and pool == 2:
                continue
            begin = (9 * o + 3 * kind) * LINE
            z = kinds[begin : begin + 3 * LINE]
            target = wide[o, kind * LINE : kind * LINE + small * pool]
            interleave(
                z[:small], z[LINE : LINE + small], z[2 * LINE : 2 * LINE + small], target, pool
            )


@kernel
def _shortcut_below(below, q, left, small, pool, weight, own, bias, sums, wide):
    """Write the row that a row of cells adds to the result: its part of the shortcut."""
    for o in range(weight.shape[0]):
        z = sums[:small]
        z[:] = bias[o]
        for i in range(below.shape[0]):
            x, p = below[i, q, left : left + small], weight[o, own + i]
            for k in range(small):
                z[k] += p * x[k]
        interleave(z, z, z, wide[o, : small * pool], pool)


@kernel
def _copy_row(source, n, target, slot, o):
    begin = o * CHANNEL + slot * LINE + 1
    z = target[begin : begin + n]
    for k in range(n):
        z[k] = source[k]


@kernel
def decode(
    x, e1, eb1, e2, eb2, e_shortcut, below, pool, w1, b1, w2, b2, shortcut, head, head_bias,
    first, last, left_most, right_most, out,
):  # fmt: skip
    """Write the logits of a part of an image: by encoder block, decoder block and classes.

    Parameters
    ----------
    x : array (channel, row, column)
        The image.
    e1, eb1, e2, eb2, e_shortcut : arrays
        Of the encoder block.
    below : array (channel, row / pool, column / pool)
        Output of the level below.
    w1, b1, w2, b2, shortcut : arrays
        Of the decoder block, for skip and level below.
    head, head_bias : arrays
        The 1x1 conv of the classes.
    first, last, left_most, right_most : int
        Rows and columns that are wanted.
    out : array (class, row, column)
        Of these rows and columns.
    """
    height, width = x.shape[1:]
    channels, own = len(b2), len(eb2)
    begin, end = max(0, first - REACH) // 2 * 2, min(height, last + REACH)
    margin = -(-REACH // pool) * pool
    step = (LINE - 2 - 2 * margin) // pool * pool
    roll_x = np.empty(x.shape[0] * CHANNEL, np.float32)
    roll_e = np.empty(own * CHANNEL, np.float32)
    skip = np.empty(own * CHANNEL, np.float32)
    roll_y = np.empty(channels * CHANNEL, np.float32)
    result = np.empty(channels * CHANNEL, np.float32)
    line = np.empty(3 * LINE, np.float32)
    kinds = np.empty(channels * 9 * LINE, np.float32)
    wide = np.empty((channels, 3 * LINE), np.float32)
    wide_result = np.empty((channels, LINE), np.float32)
    start_column = left_most // pool * pool
    for start in range(start_column, right_most, step):
        stop = min(start + step, right_most)
        left = max(0, start - margin)
        right = min(width, -(-stop // pool) * pool + margin)
        n, small_left, small = right - left, left // pool, (right - left) // pool
        roll_x[:] = 0
        roll_e[:] = 0
        skip[:] = 0
        roll_y[:] = 0
        result[:] = 0
        cell = cell_result = -1
        for pair in range(begin // 2, (last + 1) // 2 + 4):
            _encode(
                x, roll_x, roll_e, skip, pair, begin, end, left, n, e1, eb1, e2, eb2, e_shortcut
            )
            at = pair - 3
            if 2 * at >= begin:
                slot = 2 * at % SLOTS
                for row in range(2):
                    r = 2 * at + row
                    if r >= end:
                        continue
                    if r // pool != cell:
                        cell = r // pool
                        _phases(below, cell, small_left, small, pool, line, w1, own, b1, kinds)
                        _widen_cells(kinds, small, pool, wide)
                    kind = 0 if r % pool == 0 else 2 if r % pool == pool - 1 else 1
                    for o in range(channels):
                        _copy_row(wide[o, kind * LINE :], n, roll_y, slot + row, o)
                _conv(skip, own, at, n, w1, roll_y, slot)
                _cut(channels, at, begin, end, n, roll_y, slot)
            at -= 1
            if 2 * at < begin or 2 * at + 1 < first:
                continue
            for row in range(2):
                r = 2 * at + row
                if r >= end:
                    continue
                if r // pool != cell_result:
                    cell_result = r // pool
                    _shortcut_below(
                        below, cell_result, small_left, small, pool, shortcut, own, b2, line,
                        wide_result,
                    )  # fmt: skip
                for o in range(channels):
                    _copy_row(wide_result[o], n, result, row, o)
            _conv(roll_y, channels, at, n, w2, result, 0)
            _add_pointwise(skip, own, at, n, shortcut, result, 0)
            _cut(channels, at, begin, end, n, result, 0)
            for row in range(2):
                r = 2 * at + row
                if r < first or r >= last:
                    continue
                low = max(start, left_most)
                for k in range(out.shape[0]):
                    target = out[k, r - first, low - left_most : stop - left_most]
                    shift = row * LINE + 1 + low - left
                    value = head_bias[k]
                    for c in range(len(target)):
                        target[c] = value
                    for o in range(channels):
                        z, p = result[o * CHANNEL + shift :], head[k, o]
                        for c in range(len(target)):
                            target[c] += p * z[c]
