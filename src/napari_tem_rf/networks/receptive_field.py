"""Nominal and exact receptive field of a network, by arithmetic.

The nominal field is the layer-by-layer formula that the paper uses: one number. The exact field
is the interval of input pixels that an output pixel truly depends on. Pooling and nearest
upsampling make it depend on the pixel's phase, its position modulo the product of the pools.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.networks.rounding import round_up
from napari_tem_rf.networks.spec import NetworkSpec


@dataclass(frozen=True, slots=True)
class Interval:
    """Pixels ``start`` to ``stop`` (exclusive) of one axis that a pixel depends on.

    ``start`` may be negative and ``stop`` beyond the image: that part is padding.
    """

    start: int
    stop: int
    length: int
    """Length of the axis."""

    @property
    def width(self) -> int:
        """Width of the field in px, padding included."""
        return self.stop - self.start

    @property
    def inside(self) -> tuple[int, int]:
        """The part inside the image, as (start, stop)."""
        return max(self.start, 0), min(self.stop, self.length)

    @property
    def clipped(self) -> bool:
        """Whether the field reaches beyond the image."""
        return self.start < 0 or self.stop > self.length


@dataclass(frozen=True, slots=True, eq=False)
class ReceptiveField:
    """What an output pixel of a network depends on, per axis (both axes are alike).

    Attributes
    ----------
    nominal : int
        The layer-by-layer formula, in px.
    before, after : ndarray of int, shape (phase,)
        How many pixels before and after an output pixel of each phase its field reaches, in px.
    halo : int
        Context in px that makes every pixel of a tile exact when the tile starts and ends on
        multiples of the period: the largest overhang over all phases, rounded up to the period.
    """

    nominal: int
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    halo: int

    @property
    def period(self) -> int:
        """Number of phases, in px."""
        return len(self.before)

    @property
    def widths(self) -> NDArray[np.int64]:
        """Exact width of each phase's field, in px."""
        return self.before + self.after + 1

    @property
    def smallest(self) -> int:
        """Smallest exact width over the phases, in px."""
        return int(self.widths.min())

    @property
    def largest(self) -> int:
        """Largest exact width over the phases, in px."""
        return int(self.widths.max())

    @property
    def phases(self) -> tuple[tuple[int, int], ...]:
        """(before, after) of each phase, in px."""
        return tuple(zip(self.before.tolist(), self.after.tolist(), strict=True))

    def to_dict(self) -> dict[str, int]:
        """Return what describes the field, without its phases, as plain JSON values."""
        return {
            "nominal": self.nominal,
            "smallest": self.smallest,
            "largest": self.largest,
            "period": self.period,
            "halo": self.halo,
        }

    def interval(self, position: int, length: int) -> Interval:
        """Return the exact field of the output pixel at a position of an axis.

        Parameters
        ----------
        position : int
            Row or column of the output pixel, from 0.
        length : int
            Length of that axis of the image, in px.

        Raises
        ------
        ValueError
            When the position is outside the image.
        """
        if not 0 <= position < length:
            raise ValueError(f"position {position} is outside the image, which has {length} px")
        phase = position % self.period
        start = position - int(self.before[phase])
        return Interval(start, position + int(self.after[phase]) + 1, length)

    def box(self, at: tuple[int, int], shape: tuple[int, int]) -> tuple[Interval, Interval]:
        """Return the exact field of the pixel at (row, column) in an image of a shape."""
        return self.interval(at[0], shape[0]), self.interval(at[1], shape[1])


def nominal_receptive_field(spec: NetworkSpec) -> int:
    """Return the nominal receptive field in px, layer by layer.

    With jump j, a block of dilation d adds 4jd, a pool p adds (p - 1)j and multiplies j by p, an
    upsampling divides j by p [1]_. For two pools without dilation: 8 + 8 p1 + 5 p1 p2.

    References
    ----------
    .. [1] A. Araujo, W. Norris, J. Sim, Computing Receptive Fields of Convolutional Neural
       Networks, Distill (2019), doi:10.23915/distill.00021.
    """
    field, jump = 1, 1
    for pool, dilation in zip(spec.pools, spec.dilations, strict=False):
        field += 4 * jump * dilation + (pool - 1) * jump
        jump *= pool
    field += 4 * jump * spec.dilations[-1]
    for pool, dilation in zip(reversed(spec.pools), reversed(spec.dilations[:-1]), strict=True):
        jump //= pool
        field += 4 * jump * dilation
    return field


@lru_cache(maxsize=256)
def _field(pools: tuple[int, ...], dilations: tuple[int, ...]) -> ReceptiveField:
    spec = NetworkSpec(pools=pools, dilations=dilations)
    position = np.arange(spec.period, dtype=np.int64)
    first, last = position.copy(), position.copy()
    # Down the decoder: the path through the bottleneck holds the skip's path inside it, so
    # the extremes of the coarsest path are those of the whole network.
    for pool, dilation in zip(pools, dilations, strict=False):
        first = (first - 2 * dilation) // pool
        last = (last + 2 * dilation) // pool
    first -= 2 * dilations[-1]
    last += 2 * dilations[-1]
    for pool, dilation in zip(reversed(pools), reversed(dilations[:-1]), strict=True):
        first = first * pool - 2 * dilation
        last = last * pool + (pool - 1) + 2 * dilation
    overhang = max(int(-first.min()), int(last.max()) - (spec.period - 1))
    before, after = position - first, last - position
    before.flags.writeable = after.flags.writeable = False
    return ReceptiveField(
        nominal=nominal_receptive_field(spec),
        before=before,
        after=after,
        halo=round_up(overhang, spec.period),
    )


def receptive_field(spec: NetworkSpec) -> ReceptiveField:
    """Return the nominal and exact receptive field of a network.

    The intervals are those of the network's gradient: see the test that compares them with the
    support of the gradient of a network with positive weights.

    Parameters
    ----------
    spec : NetworkSpec
        The network; its filters and classes do not matter here.
    """
    return _field(spec.pools, spec.dilations)
