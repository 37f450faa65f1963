"""A residual block on the CPU, forwards and backwards, compiled by Numba.

Maps are float32, planes of rows: (crop, channel, row, column). The input of a block is a skip and,
in a decoder, the map of the level below (`learning.fast.levels`); an encoder has no channels of it.
The output of an encoder is also pooled; the pooled map of a decoder has no pixels.

Each kernel works on the bands ``begin`` to ``end`` (`learning.fast.bands`), of ``most`` rows, and
adds what it sums over them to arrays of its own, so that threads share nothing.
"""

import numpy as np

from napari_tem_rf.learning.fast.bands import (
    ZERO,
    add_moments,
    band_at,
    conv,
    copy_active,
    copy_gradient,
    copy_rows,
    correlate,
    fill,
    kernel,
)
from napari_tem_rf.learning.fast.levels import (
    add_to_largest,
    cells_of,
    interleave,
    pool_rows,
    sum_cells,
    upsampled_conv_backward,
    write_upsampled_conv,
)

# forwards


@kernel
def first_conv(skip, below, pool, weight, bias, most, y, sums, begin, end):
    """Write the first conv and add its moments."""
    band = np.empty((skip.shape[1], most + 2, y.shape[3] + 2), np.float32)
    for number in range(begin, end):
        crop, first, rows = band_at(number, y.shape[2], most)
        if below.shape[1]:
            write_upsampled_conv(below, pool, weight, bias, crop, first, rows, y)
        else:
            fill(bias, y, crop, first, rows)
        copy_rows(skip, crop, first, rows, band)
        conv(band, weight, y, crop, first, rows)
        add_moments(y, crop, first, rows, sums)


@kernel
def second_conv(before, scale, shift, weight, bias, most, y, sums, begin, end):
    """Write the conv of the first one's result after norm and ReLU, and add its moments."""
    band = np.empty((weight.shape[1], most + 2, y.shape[3] + 2), np.float32)
    for number in range(begin, end):
        crop, first, rows = band_at(number, y.shape[2], most)
        fill(bias, y, crop, first, rows)
        copy_active(before, scale, shift, crop, first, rows, band)
        conv(band, weight, y, crop, first, rows)
        add_moments(y, crop, first, rows, sums)


@kernel
def result(
    skip, below, pool, shortcut, y, scale, shift, down, most, out, pooled, argmax, begin, end
):
    """Write the second conv's result, normalised, plus the shortcut; and it pooled."""
    width, own = y.shape[3], skip.shape[1]
    wide = np.zeros(width, np.float32)
    small = below.shape[3]
    cells = np.empty(most // pool * small, np.float32)
    for number in range(begin, end):
        crop, first, rows = band_at(number, y.shape[2], most)
        for o in range(y.shape[1]):
            if below.shape[1]:
                cells[:] = 0
                for i in range(below.shape[1]):
                    x, p = cells_of(below, pool, crop, i, first, rows), shortcut[o, own + i]
                    for c in range(len(x)):
                        cells[c] += p * x[c]
            for k in range(rows):
                if below.shape[1] and k % pool == 0:
                    each = cells[k // pool * small : (k // pool + 1) * small]
                    interleave(each, each, each, wide, pool)
                source, row = y[crop, o, first + k], out[crop, o, first + k]
                a, b = scale[o], shift[o]
                for c in range(width):
                    row[c] = a * source[c] + b + wide[c]
                for i in range(own):
                    x, p = skip[crop, i, first + k], shortcut[o, i]
                    for c in range(width):
                        row[c] += p * x[c]
                for c in range(width):
                    row[c] = max(row[c], ZERO)
            if down:
                pool_rows(out, down, crop, o, first, rows, pooled, argmax)


# backwards


@kernel
def result_backward(
    gradient, grad_pooled, argmax, out, y, skip, below, pool, shortcut, down, most, g, grad_below,
    grad_shortcut, sums, begin, end,
):  # fmt: skip
    """Write the gradient before the last ReLU, and add that of the shortcut's weights.

    Writes the shortcut's part of the gradient of the level below. Adds to the sums, for each
    channel, the gradient and the gradient times the second conv's result.
    """
    width, own = y.shape[3], skip.shape[1]
    wide = np.empty(width, np.float32)
    cells = np.empty(most // pool * below.shape[3], np.float32)
    for number in range(begin, end):
        crop, first, rows = band_at(number, y.shape[2], most)
        for o in range(y.shape[1]):
            for k in range(rows):
                grad_out, active = gradient[crop, o, first + k], out[crop, o, first + k]
                source, row = y[crop, o, first + k], g[crop, o, first + k]
                for c in range(width):
                    row[c] = grad_out[c]
                if down:
                    add_to_largest(grad_pooled, argmax, down, crop, o, first + k, row)
                total = along = ZERO
                for c in range(width):
                    value = row[c] if active[c] > ZERO else ZERO
                    row[c] = value
                    total += value
                    along += value * source[c]
                sums[0, o] += total
                sums[1, o] += along
                for i in range(own):
                    x = skip[crop, i, first + k]
                    total = ZERO
                    for c in range(width):
                        total += row[c] * x[c]
                    grad_shortcut[o, i] += total
            if below.shape[1]:
                sum_cells(g[crop, o], first, rows, pool, wide, cells)
                for i in range(below.shape[1]):
                    x = cells_of(below, pool, crop, i, first, rows)
                    grad_x = cells_of(grad_below, pool, crop, i, first, rows)
                    p = shortcut[o, own + i]
                    if o == 0:
                        grad_x[:] = 0
                    total = ZERO
                    for c in range(len(x)):
                        total += cells[c] * x[c]
                        grad_x[c] += p * cells[c]
                    grad_shortcut[o, own + i] += total


@kernel
def second_conv_backward(
    g, y, slopes, before, scale, shift, flipped, most, h, grad_weight, sums, begin, end
):
    """Write the gradient before the first ReLU, and add that of the second conv's weights.

    Adds to the sums, for each channel, the gradient and the gradient times the first conv's result.
    """
    channels, width = before.shape[1], before.shape[3]
    band = np.empty((channels, most + 2, width + 2), np.float32)
    gradient = np.empty((channels, most + 2, width + 2), np.float32)
    for number in range(begin, end):
        crop, first, rows = band_at(number, y.shape[2], most)
        copy_active(before, scale, shift, crop, first, rows, band)
        copy_gradient(g, y, slopes, crop, first, rows, gradient)
        correlate(band, rows, gradient, grad_weight)
        for o in range(channels):
            for k in range(rows):
                h[crop, o, first + k] = 0
        conv(gradient, flipped, h, crop, first, rows)
        for o in range(channels):
            for k in range(rows):
                row, active, source = (
                    h[crop, o, first + k],
                    band[o, k + 1],
                    before[crop, o, first + k],
                )
                total = along = ZERO
                for c in range(width):
                    value = row[c] if active[c + 1] > ZERO else ZERO
                    row[c] = value
                    total += value
                    along += value * source[c]
                sums[0, o] += total
                sums[1, o] += along


@kernel
def first_conv_backward(
    h, y, slopes, skip, below, pool, weight, flipped, g, shortcut, most, needs_grad, grad_skip,
    grad_below, grad_weight, begin, end,
):  # fmt: skip
    """Add the gradients of the first conv's weights and of the level below.

    Write that of the skip where ``needs_grad``.
    """
    width, own = y.shape[3], skip.shape[1]
    band = np.empty((own, most + 2, width + 2), np.float32)
    gradient = np.empty((y.shape[1], most + 2, width + 2), np.float32)
    for number in range(begin, end):
        crop, first, rows = band_at(number, y.shape[2], most)
        copy_gradient(h, y, slopes, crop, first, rows, gradient)
        copy_rows(skip, crop, first, rows, band)
        correlate(band, rows, gradient, grad_weight)
        if below.shape[1]:
            upsampled_conv_backward(
                gradient, below, pool, weight, crop, first, rows, grad_weight, grad_below
            )
        if not needs_grad:
            continue
        for i in range(own):
            for k in range(rows):
                row = grad_skip[crop, i, first + k]
                row[:] = 0
                for o in range(y.shape[1]):
                    source, p = g[crop, o, first + k], shortcut[o, i]
                    for c in range(width):
                        row[c] += p * source[c]
        conv(gradient, flipped, grad_skip, crop, first, rows)
