"""What a network is: pools, dilations, filters. Pure arithmetic, no weights."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from math import isfinite, prod
from numbers import Real
from operator import mul
from typing import Any, Self

MOST_LEVELS = 6
LARGEST_PERIOD = 2**20
LARGEST_POOL = 64
LARGEST_DILATION = 256
MOST_PARAMETERS = 100_000_000
"""Most trainable parameters: a training holds each some eight times, in 3 GB."""


@dataclass(frozen=True, slots=True)
class BlockShape:
    """One residual block: where it stands and how many channels go in and out."""

    name: str
    channels_in: int
    channels_out: int
    dilation: int
    stride: int
    """Input pixels per pixel of this block, on one axis."""

    @property
    def parameters(self) -> int:
        """Trainable parameters: two 3x3 convs, two batch norms, one 1x1 conv, with biases."""
        i, o = self.channels_in, self.channels_out
        return (9 * i * o + o) + 2 * o + (9 * o * o + o) + 2 * o + (i * o + o)

    @property
    def macs(self) -> int:
        """Multiply-adds of the convs per pixel of this block."""
        i, o = self.channels_in, self.channels_out
        return 9 * i * o + 9 * o * o + i * o


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A residual U-Net of the family of Sytwu, Groschner and Scott (2022).

    Parameters
    ----------
    pools : tuple of int
        Size (= stride) of the max pool of each level, each >= 2; none to six levels.
    dilations : tuple of int, optional
        Dilation of the two 3x3 convs of the blocks of each level (encoder and decoder alike),
        then of the bottleneck: one more than there are pools. All 1 when not given.
    filters : int
        Channels of the first level.
    growth : float
        Factor by which the channels grow per level; the paper doubles them.
    channels : int
        Channels of the image.
    classes : int
        Classes of the output, background included.

    Raises
    ------
    ValueError
        When a value is outside the family; the message names it and the rule.

    References
    ----------
    .. [1] K. Sytwu, C. Groschner, M. C. Scott, Understanding the Influence of Receptive Field
       and Network Complexity in Neural Network-Guided TEM Image Analysis, Microscopy and
       Microanalysis (2022), doi:10.1017/S1431927622012466.
    """

    pools: tuple[int, ...] = (4, 4)
    dilations: tuple[int, ...] = ()
    filters: int = 4
    growth: float = 2.0
    channels: int = 1
    classes: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "pools", _integers("pools", self.pools))
        ones = (1,) * (len(self.pools) + 1)
        dilations = _integers("dilations", self.dilations) or ones
        object.__setattr__(self, "dilations", dilations)
        object.__setattr__(self, "growth", float(self.growth))
        for name, least in (("filters", 1), ("channels", 1), ("classes", 2)):
            (value,) = _integers(name, (getattr(self, name),))
            object.__setattr__(self, name, value)
            if value < least:
                raise ValueError(f"{name} is {value}: a network needs {name} >= {least}")
        if len(self.pools) > MOST_LEVELS:
            raise ValueError(
                f"pools {_listed(self.pools)} make {len(self.pools)} levels: "
                f"a network has at most {MOST_LEVELS}"
            )
        if any(pool < 2 for pool in self.pools):
            raise ValueError(
                f"pools {_listed(self.pools)}: every pool must be >= 2; leave a pool of 1 out"
            )
        if self.period > LARGEST_PERIOD:
            raise ValueError(
                f"pools {_listed(self.pools)} multiply to {self.period:,} px: "
                f"at most {LARGEST_PERIOD:,} px are allowed; use smaller pools or fewer levels"
            )
        if any(pool > LARGEST_POOL for pool in self.pools):
            raise ValueError(
                f"pools {_listed(self.pools)}: every pool must be from 2 to {LARGEST_POOL}; use "
                "more levels of smaller pools"
            )
        if len(self.dilations) != len(self.pools) + 1:
            raise ValueError(
                f"dilations {_listed(self.dilations)}: {len(self.pools)} pools need "
                f"{len(self.pools) + 1} dilations, one per level and one for the bottleneck"
            )
        if any(not 1 <= dilation <= LARGEST_DILATION for dilation in self.dilations):
            raise ValueError(
                f"dilations {_listed(self.dilations)}: every dilation must be "
                f"from 1 to {LARGEST_DILATION}"
            )
        if not (isfinite(self.growth) and 1 <= self.growth <= 4):
            raise ValueError(f"growth is {self.growth}: it must be from 1 to 4")
        # first each by itself, because parameters of huge numbers are slow to count
        largest = max(self.filters, self.channels, self.classes)
        if largest > MOST_PARAMETERS or self.parameters > MOST_PARAMETERS:
            raise ValueError(
                f"{self.filters:,} filters, {self.channels:,} channels and {self.classes:,} "
                f"classes make more than {MOST_PARAMETERS:,} parameters: take fewer filters or "
                "fewer levels"
            )

    @property
    def levels(self) -> int:
        """Number of pools."""
        return len(self.pools)

    @property
    def period(self) -> int:
        """Product of the pools, in px: the field repeats with it."""
        return prod(self.pools)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, then of the bottleneck."""
        return tuple(round(self.filters * self.growth**level) for level in range(self.levels + 1))

    @property
    def strides(self) -> tuple[int, ...]:
        """Input pixels per pixel of each level, then of the bottleneck."""
        return tuple(accumulate(self.pools, mul, initial=1))

    def blocks(self) -> Iterator[BlockShape]:
        """Yield the residual blocks in the order in which the image passes them."""
        widths, strides, dilations = self.widths, self.strides, self.dilations
        width_in = self.channels
        for level in range(self.levels):
            yield BlockShape(
                f"encoder {level + 1}", width_in, widths[level], dilations[level], strides[level]
            )
            width_in = widths[level]
        yield BlockShape("bottleneck", width_in, widths[-1], dilations[-1], strides[-1])
        for level in reversed(range(self.levels)):
            yield BlockShape(
                f"decoder {level + 1}",
                widths[level] + widths[level + 1],
                widths[level],
                dilations[level],
                strides[level],
            )

    @property
    def parameters(self) -> int:
        """Number of trainable parameters, the paper's complexity."""
        head = self.filters * self.classes + self.classes
        return sum(block.parameters for block in self.blocks()) + head

    @property
    def macs_per_pixel(self) -> float:
        """Multiply-adds of the convs per pixel of the image."""
        head = self.filters * self.classes
        return head + sum(block.macs / block.stride**2 for block in self.blocks())

    def with_classes(self, classes: int) -> Self:
        """Return the same network for another number of classes."""
        return replace(self, classes=classes)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        values = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def __str__(self) -> str:
        pools = f"pools {_listed(self.pools)}" if self.pools else "no pools"
        dilated = f", dilations {_listed(self.dilations)}" if set(self.dilations) != {1} else ""
        grown = "" if self.growth == 2 else f", growth {self.growth:g}"
        return f"{pools}{dilated}, {self.filters} filters{grown}"


def _listed(values: Sequence[int]) -> str:
    return ",".join(str(value) for value in values)


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and value % 1 == 0


def _integers(name: str, values: Sequence[Any]) -> tuple[int, ...]:
    for value in values:
        if not _is_whole(value):
            raise ValueError(f"{name} holds {value!r}: whole numbers are needed")
    return tuple(int(value) for value in values)
