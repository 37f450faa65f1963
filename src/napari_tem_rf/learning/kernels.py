"""A residual block on the CPU, forwards and backwards, compiled by Numba.

Maps are float32, planes of rows: (crop, channel, row, column). What enters a block is a skip and,
in a decoder, what comes from below, upsampled by nearest neighbours while it is copied; an encoder
has no channels from below.

Each kernel works on the bands ``begin`` to ``end`` (`learning.bands`), of ``most`` rows, and adds
what it sums over them to arrays of its own, so that threads share nothing.
"""

import numpy as np

from napari_tem_rf.learning.bands import (
    ZERO,
    conv,
    conv_and_sum,
    copy_active,
    copy_gradient,
    copy_input,
    correlate,
    gather,
    kernel,
    place,
)

# forwards


@kernel
def first_conv(skip, below, pool, weight, bias, most, y, sums, begin, end):
    """Write the first conv and add its moments."""
    band = np.empty((weight.shape[1], most + 2, y.shape[3] + 2), np.float32)
    for number in range(begin, end):
        crop, first, rows = place(number, y.shape[2], most)
        copy_input(skip, below, pool, crop, first, rows, band)
        conv_and_sum(band, weight, bias, y, crop, first, rows, sums)


@kernel
def second_conv(before, scale, shift, weight, bias, most, y, sums, begin, end):
    """Write the conv of the first one's result after norm and ReLU, and add its moments."""
    band = np.empty((weight.shape[1], most + 2, y.shape[3] + 2), np.float32)
    for number in range(begin, end):
        crop, first, rows = place(number, y.shape[2], most)
        copy_active(before, scale, shift, crop, first, rows, band)
        conv_and_sum(band, weight, bias, y, crop, first, rows, sums)


@kernel
def result(skip, below, pool, shortcut, y, scale, shift, most, out, begin, end):
    """Write ReLU of the second conv's result, normalised, plus the shortcut."""
    width = y.shape[3]
    band = np.empty((shortcut.shape[1], most + 2, width + 2), np.float32)
    for number in range(begin, end):
        crop, first, rows = place(number, y.shape[2], most)
        copy_input(skip, below, pool, crop, first, rows, band)
        for k in range(rows):
            for o in range(y.shape[1]):
                source, row = y[crop, o, first + k], out[crop, o, first + k]
                a, b = scale[o], shift[o]
                for c in range(width):
                    row[c] = a * source[c] + b
                for i in range(shortcut.shape[1]):
                    entered, p = band[i, k + 1], shortcut[o, i]
                    for c in range(width):
                        row[c] += p * entered[c + 1]
                for c in range(width):
                    row[c] = max(row[c], ZERO)


# backwards


@kernel
def of_result(gradient, out, y, skip, below, pool, most, g, of_shortcut, sums, begin, end):
    """Write the gradient before the last ReLU, and add that of the shortcut.

    Adds its pixels, and those times the second conv's result, of each channel.
    """
    width = y.shape[3]
    band = np.empty((of_shortcut.shape[1], most + 2, width + 2), np.float32)
    for number in range(begin, end):
        crop, first, rows = place(number, y.shape[2], most)
        copy_input(skip, below, pool, crop, first, rows, band)
        for k in range(rows):
            for o in range(y.shape[1]):
                given, shown = gradient[crop, o, first + k], out[crop, o, first + k]
                source, row = y[crop, o, first + k], g[crop, o, first + k]
                total = along = ZERO
                for c in range(width):
                    value = given[c] if shown[c] > ZERO else ZERO
                    row[c] = value
                    total += value
                    along += value * source[c]
                sums[0, o] += total
                sums[1, o] += along
                for i in range(of_shortcut.shape[1]):
                    entered = band[i, k + 1]
                    total = ZERO
                    for c in range(width):
                        total += row[c] * entered[c + 1]
                    of_shortcut[o, i] += total


@kernel
def of_second_conv(
    g, y, slopes, before, scale, shift, turned, most, h, of_weight, sums, begin, end
):
    """Write the gradient before the first ReLU, and add that of the second conv's weights.

    Adds its pixels, and those times the first conv's result, of each channel.
    """
    channels, width = before.shape[1], before.shape[3]
    band = np.empty((channels, most + 2, width + 2), np.float32)
    gradient = np.empty((channels, most + 2, width + 2), np.float32)
    for number in range(begin, end):
        crop, first, rows = place(number, y.shape[2], most)
        copy_active(before, scale, shift, crop, first, rows, band)
        copy_gradient(g, y, slopes, crop, first, rows, gradient)
        correlate(band, rows, gradient, of_weight)
        for o in range(channels):
            for k in range(rows):
                h[crop, o, first + k] = 0
        conv(gradient, turned, h, crop, first, rows)
        for o in range(channels):
            for k in range(rows):
                row, shown, source = (
                    h[crop, o, first + k],
                    band[o, k + 1],
                    before[crop, o, first + k],
                )
                total = along = ZERO
                for c in range(width):
                    value = row[c] if shown[c + 1] > ZERO else ZERO
                    row[c] = value
                    total += value
                    along += value * source[c]
                sums[0, o] += total
                sums[1, o] += along


@kernel
def of_first_conv(
    h, y, slopes, skip, below, pool, turned, g, shortcut, most, wanted, of_skip, of_below,
    of_weight, begin, end,
):  # fmt: skip
    """Add the gradient of the first conv's weights and, where wanted, write that of the input."""
    width, own, entering = y.shape[3], skip.shape[1], shortcut.shape[1]
    band = np.empty((entering, most + 2, width + 2), np.float32)
    gradient = np.empty((y.shape[1], most + 2, width + 2), np.float32)
    of_input = np.empty((1, entering, most, width), np.float32)
    for number in range(begin, end):
        crop, first, rows = place(number, y.shape[2], most)
        copy_input(skip, below, pool, crop, first, rows, band)
        copy_gradient(h, y, slopes, crop, first, rows, gradient)
        correlate(band, rows, gradient, of_weight)
        if not wanted:
            continue
        for i in range(entering):
            for k in range(rows):
                row = of_input[0, i, k]
                row[:] = 0
                for o in range(y.shape[1]):
                    source, p = g[crop, o, first + k], shortcut[o, i]
                    for c in range(width):
                        row[c] += p * source[c]
        conv(gradient, turned, of_input, 0, 0, rows)
        for i in range(own):
            for k in range(rows):
                of_skip[crop, i, first + k] = of_input[0, i, k]
        for i in range(entering - own):
            for k in range(0, rows, pool):
                wide = of_input[0, own + i, k]
                for other in range(k + 1, k + pool):
                    row = of_input[0, own + i, other]
                    for c in range(width):
                        wide[c] += row[c]
                gather(wide, of_below[crop, i, (first + k) // pool], pool)
