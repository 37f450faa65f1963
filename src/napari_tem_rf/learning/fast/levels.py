"""Between two levels of a network: pooled going down, upsampled going up; compiled by Numba.

The map of the level below is convolved where it is small. Its cell is the square of ``pool`` x
``pool`` pixels to which nearest neighbours upsample one of its pixels. The rows of a 3x3 conv fall
into one cell, or into two at the cell's first and last row, and so do its columns: whatever the
pool, there are three times three sums of products to tell apart. Backwards, all that is needed of
a gradient are its sums over cells, as it lies and shifted by a pixel to every side.

Rows are those of one crop, first to first + rows of the large map: whole cells.
"""

import numpy as np

from napari_tem_rf.learning.fast.bands import ZERO, add_to_kernel, copy_rows, kernel

# cells


@kernel
def interleave(left, middle, right, wide, pool):
    """Write a row of cells from their first, inner and last columns.

    The compiler wants to see the usual pools.
    """
    if pool == 2:
        for c in range(len(left)):
            wide[2 * c] = left[c]
            wide[2 * c + 1] = right[c]
    elif pool == 4:
        for c in range(len(left)):
            wide[4 * c] = left[c]
            wide[4 * c + 1] = middle[c]
            wide[4 * c + 2] = middle[c]
            wide[4 * c + 3] = right[c]
    else:
        for c in range(len(left)):
            wide[c * pool] = left[c]
            for k in range(1, pool - 1):
                wide[c * pool + k] = middle[c]
            wide[(c + 1) * pool - 1] = right[c]


@kernel
def _gather(wide, row, pool):
    """Sum a row over the columns of each cell: the gradient of upsampling."""
    if pool == 2:
        for c in range(len(row)):
            row[c] = wide[2 * c] + wide[2 * c + 1]
    elif pool == 4:
        for c in range(len(row)):
            row[c] = (wide[4 * c] + wide[4 * c + 1]) + (wide[4 * c + 2] + wide[4 * c + 3])
    else:
        for c in range(len(row)):
            total = ZERO
            for k in range(pool):
                total += wide[c * pool + k]
            row[c] = total


@kernel
def sum_cells(plane, first, rows, pool, wide, cells):
    """Sum rows of a plane over cells, row of cells after row of cells."""
    width = plane.shape[1]
    small = width // pool
    for q in range(rows // pool):
        for c in range(width):
            wide[c] = plane[first + q * pool, c]
        for k in range(1, pool):
            row = plane[first + q * pool + k]
            for c in range(width):
                wide[c] += row[c]
        _gather(wide, cells[q * small : (q + 1) * small], pool)


@kernel
def cells_of(below, pool, crop, i, first, rows):
    """Return the pixels of a small plane that are upsampled to these rows, in one line."""
    small = below.shape[3]
    return below[crop, i].ravel()[first // pool * small : (first + rows) // pool * small]


# forwards


@kernel
def _add_phases(small, line, w, kind, left, middle, right):
    """Add the products of a small plane with a kernel ``w``, for one kind of rows of the cells.

    Kind 0 are the cells' first rows: the kernel's first row falls into the cells above. Kind 2 are
    their last ones: its last row falls into the cells below. The plane is one line of framed rows
    of length ``line``, so that one loop goes over all of them; what it adds in the frame is not
    used.
    """
    at = small[line:]
    if kind == 0:
        beyond = small
        u0, u1, u2 = w[0, 0], w[0, 1], w[0, 2]
        p0, p1, p2 = w[1, 0] + w[2, 0], w[1, 1] + w[2, 1], w[1, 2] + w[2, 2]
    elif kind == 2:
        beyond = small[2 * line :]
        u0, u1, u2 = w[2, 0], w[2, 1], w[2, 2]
        p0, p1, p2 = w[0, 0] + w[1, 0], w[0, 1] + w[1, 1], w[0, 2] + w[1, 2]
    else:
        beyond = at
        u0 = u1 = u2 = ZERO
        p0, p1, p2 = w[0, 0], w[0, 1], w[0, 2]
        p0, p1, p2 = p0 + w[1, 0] + w[2, 0], p1 + w[1, 1] + w[2, 1], p2 + w[1, 2] + w[2, 2]
    p01, p12, u01, u12 = p0 + p1, p1 + p2, u0 + u1, u1 + u2
    p012, u012 = p0 + p12, u0 + u12
    for c in range(len(left)):
        a0, a1, a2 = at[c], at[c + 1], at[c + 2]
        b0, b1, b2 = beyond[c], beyond[c + 1], beyond[c + 2]
        left[c] += p0 * a0 + p12 * a1 + u0 * b0 + u12 * b1
        middle[c] += p012 * a1 + u012 * b1
        right[c] += p01 * a1 + p2 * a2 + u01 * b1 + u2 * b2


@kernel
def write_upsampled_conv(below, pool, weight, bias, crop, first, rows, y):
    """Write the bias and the conv of the level below, whose weights are the last ones."""
    channels, small = below.shape[1], below.shape[3]
    own, line, count = weight.shape[1] - channels, small + 2, rows // pool
    band = np.empty((channels, count + 2, line), np.float32)
    copy_rows(below, crop, first // pool, count, band)
    phases = np.empty((3, count * line - 2), np.float32)
    wide = np.empty(small * pool, np.float32)
    left, middle, right = phases[0], phases[1], phases[2]
    for o in range(y.shape[1]):
        for kind in range(3):
            if kind == 1 and pool == 2:  # no row lies inside
                continue
            phases[:] = bias[o]
            for i in range(channels):
                _add_phases(band[i].ravel(), line, weight[o, own + i], kind, left, middle, right)
            begin = (0, 1, pool - 1)[kind]
            end = (1, pool - 1, pool)[kind]
            for q in range(count):
                here = slice(q * line, q * line + small)
                interleave(left[here], middle[here], right[here], wide, pool)
                for k in range(begin, end):
                    row = y[crop, o, first + q * pool + k]
                    for c in range(len(row)):
                        row[c] = wide[c]


@kernel
def pool_rows(out, down, crop, o, first, rows, pooled, argmax):
    """Write the largest pixel of each cell, and where in the cell it is; of equal ones one."""
    width = out.shape[3]
    best, at = np.empty(width, np.float32), np.empty(width, np.int32)
    for q in range(rows // down):
        row = out[crop, o, first + q * down]
        for c in range(width):
            best[c] = row[c]
            at[c] = 0
        for k in range(1, down):
            row = out[crop, o, first + q * down + k]
            for c in range(width):
                larger = row[c] > best[c]
                best[c] = row[c] if larger else best[c]
                at[c] = k * down if larger else at[c]
        largest, where = pooled[crop, o, first // down + q], argmax[crop, o, first // down + q]
        for c in range(len(largest)):
            value, found = best[c * down], at[c * down]
            for k in range(1, down):
                if best[c * down + k] > value:
                    value, found = best[c * down + k], at[c * down + k] + k
            largest[c] = value
            where[c] = found


# backwards


@kernel
def add_to_largest(grad_pooled, argmax, down, crop, o, r, row):
    """Add the gradient of the pooled map to row ``r`` of the gradient of the map."""
    grad_out, where = grad_pooled[crop, o, r // down], argmax[crop, o, r // down]
    begin = r % down * down
    for c in range(len(grad_out)):
        at = where[c] - begin
        if 0 <= at < down:
            row[c * down + at] += grad_out[c]


@kernel
def _shifted_sums(band, count, pool, wide, sums):
    """Sum a framed plane over cells, shifted as each pixel of a 3x3 conv shifts what it sees."""
    small = (band.shape[1] - 2) // pool
    above, at, under = wide[0], wide[1], wide[2]
    for q in range(count):
        top, bottom = band[q * pool + 1], band[(q + 1) * pool]
        before, after = band[q * pool], band[(q + 1) * pool + 1]
        for c in range(len(at)):
            at[c] = top[c]
        for k in range(2, pool + 1):
            row = band[q * pool + k]
            for c in range(len(at)):
                at[c] += row[c]
        for c in range(len(at)):
            above[c] = at[c] - top[c] + after[c]
            under[c] = at[c] - bottom[c] + before[c]
        for k in range(3):
            row = wide[k]
            here = slice(q * small, (q + 1) * small)
            left, middle, right = sums[3 * k][here], sums[3 * k + 1][here], sums[3 * k + 2][here]
            _gather(row[1:], middle, pool)
            for c in range(small):
                left[c] = middle[c] - row[c * pool + 1] + row[(c + 1) * pool + 1]
                right[c] = middle[c] - row[(c + 1) * pool] + row[c * pool]


@kernel
def _multiply_sums(sums, x, w, grad_w, grad_x):
    """Add the gradient of a kernel, and that of the small plane that it convolves upsampled."""
    s0, s1, s2, s3, s4 = sums[0], sums[1], sums[2], sums[3], sums[4]
    s5, s6, s7, s8 = sums[5], sums[6], sums[7], sums[8]
    w0, w1, w2 = w[0, 0], w[0, 1], w[0, 2]
    w3, w4, w5 = w[1, 0], w[1, 1], w[1, 2]
    w6, w7, w8 = w[2, 0], w[2, 1], w[2, 2]
    for c in range(len(grad_x)):
        grad_x[c] += (
            w0 * s0[c] + w1 * s1[c] + w2 * s2[c]
            + w3 * s3[c] + w4 * s4[c] + w5 * s5[c]
            + w6 * s6[c] + w7 * s7[c] + w8 * s8[c]
        )  # fmt: skip
    t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = t8 = ZERO
    for c in range(len(grad_x)):
        value = x[c]
        t0 += value * s0[c]
        t1 += value * s1[c]
        t2 += value * s2[c]
        t3 += value * s3[c]
        t4 += value * s4[c]
        t5 += value * s5[c]
        t6 += value * s6[c]
        t7 += value * s7[c]
        t8 += value * s8[c]
    add_to_kernel(grad_w, t0, t1, t2, t3, t4, t5, t6, t7, t8)


@kernel
def upsampled_conv_backward(
    gradient, below, pool, weight, crop, first, rows, grad_weight, grad_below
):
    """Add the gradients of the conv of the level below: of its weights and of the map."""
    channels, own = below.shape[1], weight.shape[1] - below.shape[1]
    count, small = rows // pool, below.shape[3]
    sums = np.empty((9, count * small), np.float32)
    wide = np.empty((3, gradient.shape[2]), np.float32)
    for o in range(len(weight)):
        _shifted_sums(gradient[o], count, pool, wide, sums)
        for i in range(channels):
            _multiply_sums(
                sums,
                cells_of(below, pool, crop, i, first, rows),
                weight[o, own + i],
                grad_weight[o, own + i],
                cells_of(grad_below, pool, crop, i, first, rows),
            )
