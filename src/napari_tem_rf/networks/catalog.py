"""The design space, and the networks nearest to a wish for receptive field and complexity."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

SMALLEST_NETWORK, LARGEST_NETWORK = 300, 12_000_000
"""Trainable parameters of the smallest and the largest network of the catalog."""

_FILTER_STEP = 1.09
"""Ratio of neighbouring first filters where whole numbers are dense enough."""

_NARROW = 12

FIRST_NETWORK = NetworkSpec((4, 8), filters=8)
"""The pick before anybody has picked: field 200 px, 31,634 parameters. It sees enough for phase
contrast at high resolution, and learns from a few strokes as fast as a smaller field does."""

MET = 0.1
"""Relative difference up to which a wish counts as met."""

_CONSIDERED = 200


@dataclass(frozen=True, slots=True)
class Match:
    """A network of the catalog, and how far it is from what was wished for."""

    spec: NetworkSpec
    receptive_field: int
    """Nominal field in px."""
    parameters: int
    receptive_field_off: float
    """Relative difference to the wished field: 0.1 is 10 % more; 0 without a wish."""
    parameters_off: float
    """Relative difference to the wished parameters: -0.1 is 10 % fewer; 0 without a wish."""

    @property
    def within(self) -> float:
        """The larger of the two relative differences."""
        return max(abs(self.receptive_field_off), abs(self.parameters_off))


@dataclass(frozen=True, eq=False)
class Catalog:
    """A list of networks with their nominal fields (px) and parameters as arrays."""

    specs: tuple[NetworkSpec, ...]

    @cached_property
    def receptive_fields(self) -> NDArray[np.int64]:
        """Nominal field of each network, in px."""
        return np.array([nominal_receptive_field(spec) for spec in self.specs])

    @cached_property
    def parameters(self) -> NDArray[np.int64]:
        """Trainable parameters of each network."""
        return np.array([spec.parameters for spec in self.specs])

    def nearest(
        self,
        receptive_field: float | None = None,
        parameters: float | None = None,
        limit: int = 5,
    ) -> tuple[Match, ...]:
        """Return the networks nearest to a wish, nearest first.

        Distance is the larger of the two ratios to the wish (the Chebyshev distance of the
        logarithms), so that a network that misses one axis never passes one that meets both;
        then the sum of both, then the cost in multiply-adds.

        Parameters
        ----------
        receptive_field : float, optional
            Wished nominal receptive field in px; any when not given.
        parameters : float, optional
            Wished number of trainable parameters; any when not given.
        limit : int
            How many networks to return at most.

        Raises
        ------
        ValueError
            When a wish is not a positive number.
        """
        for name, wish in (("receptive field", receptive_field), ("parameters", parameters)):
            if wish is not None and not (isfinite(wish) and wish > 0):
                raise ValueError(f"{name} {wish} was wished for: it must be a positive number")
        if limit < 1:
            raise ValueError(f"limit is {limit}: ask for at least one network")
        field_off = _log_distance(self.receptive_fields, receptive_field)
        parameters_off = _log_distance(self.parameters, parameters)
        distance = np.maximum(field_off, parameters_off).round(9)
        candidates = np.argsort(distance, kind="stable")
        edge = distance[candidates[min(limit, len(candidates)) - 1]]
        near = [int(index) for index in candidates if distance[index] <= edge]
        near.sort(
            key=lambda index: (
                distance[index],
                field_off[index] + parameters_off[index],
                self.specs[index].macs_per_pixel,
            )
        )
        return tuple(
            Match(
                spec=self.specs[index],
                receptive_field=int(self.receptive_fields[index]),
                parameters=int(self.parameters[index]),
                receptive_field_off=_relative(self.receptive_fields[index], receptive_field),
                parameters_off=_relative(self.parameters[index], parameters),
            )
            for index in near[:limit]
        )

    def pick(self, receptive_field: float | None = None, parameters: float | None = None) -> Match:
        """Return the network to train for a wish.

        Of the networks within 10 % of the wish on both axes it is the nearest whose filters
        double per level, as the paper's do: other growths have odd channel numbers, which take
        about twice the time for the same multiply-adds. Where there is none, it is the nearest.

        Parameters
        ----------
        receptive_field, parameters : float, optional
            As for `nearest`, which also says what is raised.
        """
        matches = self.nearest(receptive_field, parameters, _CONSIDERED)
        doubling = (m for m in matches if m.spec.growth == 2 and m.within <= MET)
        return next(doubling, matches[0])


def _log_distance(values: NDArray[np.int64], wish: float | None) -> NDArray[np.float64]:
    return np.zeros(len(values)) if wish is None else np.abs(np.log(values / wish))


def _relative(value: float, wish: float | None) -> float:
    return 0.0 if wish is None else float(value / wish - 1)


def _shapes() -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield the (pools, dilations) of the design space, the paper's pools among them.

    Dilation fills the axis below 35 px only, where pools cannot; above it pools give the same
    field for a fraction of the multiply-adds.
    """
    for dilation in (1, 2, 3, 4, 5):
        yield (), (dilation,)
    for pool in (2, 3, 4, 6, 8):
        yield (pool,), (1, 1)
    yield (2,), (1, 2)
    yield (2,), (2, 2)
    for pools in product((2, 3, 4, 6, 8), repeat=2):
        yield pools, (1, 1, 1)
    for pools in product((2, 3, 4), repeat=3):
        yield pools, (1, 1, 1, 1)
    for pools in ((8, 4, 2), (2, 4, 8), (4, 8, 2), (4, 4, 6), (4, 6, 4), (6, 4, 3)):
        yield pools, (1, 1, 1, 1)
    for pools in product((2, 3), repeat=4):
        yield pools, (1,) * 5
    for pools in product((2, 4), repeat=4):
        if 4 in pools:
            yield pools, (1,) * 5
    yield (2,) * 5, (1,) * 6
    yield (2,) * 6, (1,) * 7


def _filters() -> Iterator[int]:
    filters = 1
    while True:
        yield filters
        filters = max(filters + 1, round(filters * _FILTER_STEP))


@lru_cache(maxsize=1)
def catalog() -> Catalog:
    """Return the design space: every network of the catalog, for one channel and two classes."""
    specs = []
    for pools, dilations in _shapes():
        for filters in _filters():
            spec = NetworkSpec(pools=pools, dilations=dilations, filters=filters)
            if spec.parameters > LARGEST_NETWORK:
                break
            # One more filter doubles the parameters of a narrow network: slower growth
            # fills the gaps between them.
            growths = (2, 1.75, 1.5) if pools and filters <= _NARROW else (2,)
            candidates = (replace(spec, growth=growth) for growth in growths)
            specs += [each for each in candidates if each.parameters >= SMALLEST_NETWORK]
    specs.sort(key=lambda spec: (nominal_receptive_field(spec), spec.parameters, spec.pools))
    return Catalog(tuple(specs))


def nearest_networks(
    receptive_field: float | None = None, parameters: float | None = None, limit: int = 5
) -> tuple[Match, ...]:
    """Return the catalog's networks nearest to a wish, nearest first; see `Catalog.nearest`."""
    return catalog().nearest(receptive_field, parameters, limit)
