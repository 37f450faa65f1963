"""Some rows of one crop at a time: copied into the cache, convolved there; compiled by Numba.

A band is (channel, row, column) in single precision with a frame of zeros of one pixel, so that no
conv asks where the map ends. What lies between two convs (upsampling, norm, ReLU, their gradients)
is computed while copying and never written as a map. Sums are in double precision, rows of them in
single precision.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
ZERO = np.float32(0)

ROWS_AT_ONCE = 64
"""Rows that one loop sums in single precision, at most."""


def kernel(function: Function) -> Function:
    """Compile at the first call and keep the result on disk, where there is a place for it."""
    options = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written to
        return njit(**options)(function)


# copying a band into the cache, with a frame of one pixel


@kernel
def copy_rows(source, crop, first, rows, band):
    """Copy rows of a map, and those that touch them."""
    height, width = source.shape[2:]
    band[:] = 0
    for k in range(rows + 2):
        r = first + k - 1
        if r < 0 or r >= height:
            continue
        for i in range(source.shape[1]):
            row, target = source[crop, i, r], band[i, k]
            for c in range(width):
                target[c + 1] = row[c]


@kernel
def copy_active(y, scale, shift, crop, first, rows, band):
    """Copy the input of the second conv: the first one's result, normalised, after ReLU."""
    height, width = y.shape[2:]
    band[:] = 0
    for k in range(rows + 2):
        r = first + k - 1
        if r < 0 or r >= height:
            continue
        for o in range(y.shape[1]):
            source, target, a, b = y[crop, o, r], band[o, k], scale[o], shift[o]
            for c in range(width):
                target[c + 1] = max(a * source[c] + b, ZERO)


@kernel
def copy_gradient(gradient, y, slopes, crop, first, rows, band):
    """Copy the gradient of a norm's input: by its result, and by the moments of the input."""
    height, width = y.shape[2:]
    band[:] = 0
    for k in range(rows + 2):
        r = first + k - 1
        if r < 0 or r >= height:
            continue
        for o in range(y.shape[1]):
            direct, source, target = gradient[crop, o, r], y[crop, o, r], band[o, k]
            a, b, d, mean = slopes[0, o], slopes[1, o], slopes[2, o], slopes[3, o]
            for c in range(width):
                target[c + 1] = a * direct[c] + b * (source[c] - mean) + d


# convs of a band


@kernel
def _conv_two(band, k, weight, o, y, z):
    """Add the 3x3 conv to a row of channel ``o`` and to one of the next channel."""
    for i in range(band.shape[0]):
        above, at, under = band[i, k], band[i, k + 1], band[i, k + 2]
        p, q = weight[o, i], weight[o + 1, i]
        p0, p1, p2, q0, q1, q2 = p[0, 0], p[0, 1], p[0, 2], q[0, 0], q[0, 1], q[0, 2]
        p3, p4, p5, q3, q4, q5 = p[1, 0], p[1, 1], p[1, 2], q[1, 0], q[1, 1], q[1, 2]
        p6, p7, p8, q6, q7, q8 = p[2, 0], p[2, 1], p[2, 2], q[2, 0], q[2, 1], q[2, 2]
        for c in range(len(y)):
            a0, a1, a2 = above[c], above[c + 1], above[c + 2]
            a3, a4, a5 = at[c], at[c + 1], at[c + 2]
            a6, a7, a8 = under[c], under[c + 1], under[c + 2]
            y[c] += (
                p0 * a0
                + p1 * a1
                + p2 * a2
                + p3 * a3
                + p4 * a4
                + p5 * a5
                + p6 * a6
                + p7 * a7
                + p8 * a8
            )
            z[c] += (
                q0 * a0
                + q1 * a1
                + q2 * a2
                + q3 * a3
                + q4 * a4
                + q5 * a5
                + q6 * a6
                + q7 * a7
                + q8 * a8
            )


@kernel
def _conv_one(band, k, weight, o, y):
    """Add the 3x3 conv to a row of channel ``o``."""
    for i in range(band.shape[0]):
        above, at, under, p = band[i, k], band[i, k + 1], band[i, k + 2], weight[o, i]
        p0, p1, p2 = p[0, 0], p[0, 1], p[0, 2]
        p3, p4, p5 = p[1, 0], p[1, 1], p[1, 2]
        p6, p7, p8 = p[2, 0], p[2, 1], p[2, 2]
        for c in range(len(y)):
            y[c] += (
                p0 * above[c] + p1 * above[c + 1] + p2 * above[c + 2]
                + p3 * at[c] + p4 * at[c + 1] + p5 * at[c + 2]
                + p6 * under[c] + p7 * under[c + 1] + p8 * under[c + 2]
            )  # fmt: skip


@kernel
def conv(band, weight, y, crop, first, rows):
    """Add the 3x3 conv of a band to rows of a map."""
    channels = y.shape[1]
    for k in range(rows):
        for o in range(0, channels - 1, 2):
            _conv_two(band, k, weight, o, y[crop, o, first + k], y[crop, o + 1, first + k])
        if channels % 2:
            _conv_one(band, k, weight, channels - 1, y[crop, channels - 1, first + k])


@kernel
def correlate(band, rows, gradient, total):
    """Add the gradient of a conv's weights: its input times the gradient of its result.

    Both have frames of zeros, so that one loop goes over several rows.
    """
    channels, line = gradient.shape[0], band.shape[2]
    for k in range(0, rows, ROWS_AT_ONCE):
        begin = k * line
        length = min(ROWS_AT_ONCE, rows - k) * line - 2
        for i in range(band.shape[0]):
            above = band[i].ravel()[begin:]
            at, under = above[line:], above[2 * line :]
            for o in range(0, channels, 2):
                other = min(o + 1, channels - 1)
                g = gradient[o].ravel()[begin + line :]
                h = gradient[other].ravel()[begin + line :]
                s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = ZERO
                t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = t8 = ZERO
                for c in range(length):
                    u, v = g[c + 1], h[c + 1]
                    a0, a1, a2 = above[c], above[c + 1], above[c + 2]
                    a3, a4, a5 = at[c], at[c + 1], at[c + 2]
                    a6, a7, a8 = under[c], under[c + 1], under[c + 2]
                    s0 += u * a0
                    s1 += u * a1
                    s2 += u * a2
                    s3 += u * a3
                    s4 += u * a4
                    s5 += u * a5
                    s6 += u * a6
                    s7 += u * a7
                    s8 += u * a8
                    t0 += v * a0
                    t1 += v * a1
                    t2 += v * a2
                    t3 += v * a3
                    t4 += v * a4
                    t5 += v * a5
                    t6 += v * a6
                    t7 += v * a7
                    t8 += v * a8
                add_to_kernel(total[o, i], s0, s1, s2, s3, s4, s5, s6, s7, s8)
                if other > o:
                    add_to_kernel(total[other, i], t0, t1, t2, t3, t4, t5, t6, t7, t8)


@kernel
def add_to_kernel(total, s0, s1, s2, s3, s4, s5, s6, s7, s8):
    """Add nine numbers to a 3x3 kernel."""
    total[0, 0] += s0
    total[0, 1] += s1
    total[0, 2] += s2
    total[1, 0] += s3
    total[1, 1] += s4
    total[1, 2] += s5
    total[2, 0] += s6
    total[2, 1] += s7
    total[2, 2] += s8


@kernel
def fill(values, y, crop, first, rows):
    """Write a value for each channel to rows of a map."""
    for o in range(y.shape[1]):
        for k in range(rows):
            row, value = y[crop, o, first + k], values[o]
            for c in range(len(row)):
                row[c] = value


@kernel
def add_moments(y, crop, first, rows, sums):
    """Add the pixels of rows of a map, and their squares, of each channel."""
    for o in range(y.shape[1]):
        for k in range(rows):
            row = y[crop, o, first + k]
            total = squares = ZERO
            for c in range(len(row)):
                total += row[c]
                squares += row[c] * row[c]
            sums[0, o] += total
            sums[1, o] += squares


@kernel
def band_at(number, height, most):
    """Return (crop, first row, rows) of a band."""
    bands = -(-height // most)
    first = number % bands * most
    return number // bands, first, min(most, height - first)
