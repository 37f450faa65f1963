"""What is compared: networks that differ in one thing, and what learns without a network."""

from dataclasses import dataclass

from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec


@dataclass(frozen=True, slots=True)
class Series:
    """Networks that differ in one thing."""

    name: str
    words: str
    specs: tuple[NetworkSpec, ...]


KEY = (
    NetworkSpec((2,), filters=8),  # 18 px, 6,978 parameters
    NetworkSpec((2, 2)),
    NetworkSpec((4, 4)),
    NetworkSpec((8, 8)),
)
"""Four fields at about 8,000 parameters: what all sets, splits and seeds are asked with."""

SERIES = (
    Series("key", "four fields at about 8,000 parameters", KEY),
    Series(
        "levels",
        "one to four levels of pools of 2",
        tuple(NetworkSpec((2,) * levels) for levels in (1, 2, 3, 4)),
    ),
    Series(
        "levels at one field",
        "118, 120 and 136 px with one to three levels",
        (NetworkSpec((22,)), NetworkSpec((4, 4)), NetworkSpec((2, 2, 4))),
    ),
    Series(
        "dilation",
        "pools 2,2 with dilation 1 and 2, beside pools of the same field as 2",
        (
            NetworkSpec((2, 2)),
            NetworkSpec((2, 2), (2, 2, 2)),
            NetworkSpec((4, 2)),
        ),
    ),
    Series(
        "more dilation",
        "dilation 4, beside pools of the same field",
        (NetworkSpec((2, 2), (4, 4, 4)), NetworkSpec((8, 2))),
    ),
)


def specs_of(series: str) -> tuple[NetworkSpec, ...]:
    """Return the networks of a series by its name."""
    return next(each.specs for each in SERIES if each.name == series)


PUBLISHED_SPEC = NetworkSpec((2, 2, 2, 2))
STARTED = NetworkSpec((4, 4))
"""The network whose starts are compared: one of simulated scenes comes with the program."""


def name_of(spec: NetworkSpec) -> str:
    """Return a network's name in tables and file names."""
    words = f"{nominal_receptive_field(spec)}px-{spec.parameters}"
    if any(each != 1 for each in spec.dilations):
        words += f"-d{spec.dilations[0]}"
    return words


SPECS: dict[str, NetworkSpec] = {name_of(spec): spec for series in SERIES for spec in series.specs}
BASELINES = ("forest", "fourier")
COMPARED = ("forest", *map(name_of, KEY))
"""What every set is asked with, but for the filter, which fails where there is no lattice."""
