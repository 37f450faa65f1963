"""The trainings of the study, in the order in which they are done.

A study that ends early is a smaller one that is whole: rounds take another split and another seed
each, a round goes through all sets before it changes the question.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import PAPER_SEEDS
from study.networks import BASELINES, KEY, PUBLISHED_SPEC, SERIES, SPECS, STARTED, name_of
from study.sets import KINDS, SPLITS

STROKES = (8, 32, 128)
SCALES = (0.5, 2.0)
"""Sides of a pixel, the set's own being 1."""
TELLING = ("graphene-hrtem", "nanoparticles-bf", "simulated-hr", "simulated-lm")
"""Sets of ten exposures and more, of which an interval can leave something out."""
FINE = ("graphene-hrtem", "simulated-hr")
"""Those of phase contrast: where the field tells, finer questions are asked with more splits."""
FINER_SPLITS = 2
ROUNDS = len(PAPER_SEEDS)
"""Each seed once, and each split: what 10 core hours are enough for."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One training, or fit of a baseline: what can be lost when the machine stops.

    Attributes
    ----------
    set : str
    method : str
        A network's name, or "forest" or "fourier".
    split, seed : int
    strokes : int
        How many strokes it learns from; 0: from the masks.
    start : {"nothing", "simulated", "published"}
    scale : float
        Side of a pixel, that of the files being 1.
    """

    set: str
    method: str
    split: int
    seed: int
    strokes: int = 0
    start: str = "nothing"
    scale: float = 1.0

    @property
    def spec(self) -> NetworkSpec | None:
        """The network; None of a baseline."""
        return None if self.method in BASELINES else SPECS[self.method]

    @property
    def name(self) -> str:
        """Name of its file."""
        labels = f"strokes{self.strokes}" if self.strokes else "masks"
        return (
            f"{self.set}_split{self.split}_seed{self.seed}_{self.method}_{labels}_{self.start}"
            f"_scale{self.scale:g}"
        )


def round_of(number: int) -> tuple[int, int]:
    """Return split and seed of a round: three rounds take each split once, five each seed."""
    return number % SPLITS, PAPER_SEEDS[number % len(PAPER_SEEDS)]


def pieces(sets: tuple[str, ...] = tuple(KINDS)) -> Iterator[Piece]:
    """Yield all pieces, the most wanted first.

    Every round has the key networks and the baselines on the masks of all sets; the first three
    come before all else, for without each split there is no interval to speak of. What a claim or
    the program's advice rests on follows with every split, in sets of three exposures too. Finer
    questions are asked once of all sets that can tell something, and with `FINER_SPLITS` where the
    field tells; what costs most or tells least comes last, once.
    """
    # series share networks
    yield from dict.fromkeys(_in_order(sets))


def _in_order(sets: tuple[str, ...]) -> Iterator[Piece]:
    telling = [name for name in sets if name in TELLING]
    fine = [name for name in sets if name in FINE]
    for number in range(SPLITS):
        yield from _key(telling, number)
    for number in range(SPLITS):
        yield from _strokes(telling, number)
        yield from _networks(telling, number, ("levels at one field",))
    yield from _finer(telling, 0)
    others = [name for name in sets if name not in TELLING]
    for number in range(SPLITS):
        yield from _key(others, number)
        yield from _strokes(others, number)
        yield from _networks(others, number, ("levels at one field",))
    for number in range(SPLITS, ROUNDS):
        yield from _key(sets, number)
    for number in range(1, FINER_SPLITS):
        yield from _finer(fine, number)
    yield from _networks(fine, 0, ("more dilation",))


def _finer(sets: Sequence[str], number: int) -> Iterator[Piece]:
    yield from _more_strokes(sets, number)
    yield from _starts(sets, number)
    yield from _networks([name for name in sets if name in FINE], number, ("dilation",))
    yield from _networks(sets, number, ("levels",))
    yield from _scales(sets, number)


def _key(sets: Sequence[str], number: int) -> Iterator[Piece]:
    split, seed = round_of(number)
    # what the advice asks for first; the smallest field is the dearest: eight filters at full size
    for method in (*BASELINES, *map(name_of, (KEY[2], KEY[1], KEY[3], KEY[0]))):
        for each in sets:
            yield Piece(each, method, split, seed)


def _strokes(sets: Sequence[str], number: int) -> Iterator[Piece]:
    """Yield few strokes: the forest, a network from nothing and from scenes, a smaller field."""
    split, seed = round_of(number)
    for strokes in STROKES:
        for each in sets:
            yield Piece(each, "forest", split, seed, strokes)
            yield Piece(each, name_of(STARTED), split, seed, strokes, "simulated")
            yield Piece(each, name_of(STARTED), split, seed, strokes)
            yield Piece(each, name_of(KEY[1]), split, seed, strokes)


def _more_strokes(sets: Sequence[str], number: int) -> Iterator[Piece]:
    """Yield few strokes: the published network with and without its weights."""
    split, seed = round_of(number)
    for strokes in STROKES:
        for each in sets:
            yield Piece(each, name_of(PUBLISHED_SPEC), split, seed, strokes, "published")
            yield Piece(each, name_of(PUBLISHED_SPEC), split, seed, strokes)


def _networks(sets: Sequence[str], number: int, series: tuple[str, ...]) -> Iterator[Piece]:
    split, seed = round_of(number)
    for spec in (spec for one in SERIES if one.name in series for spec in one.specs):
        for each in sets:
            yield Piece(each, name_of(spec), split, seed)


def _starts(sets: Sequence[str], number: int) -> Iterator[Piece]:
    """Yield starts with all labels; the smaller network's from nothing are among the key ones."""
    split, seed = round_of(number)
    for each in sets:
        yield Piece(each, name_of(STARTED), split, seed, start="simulated")
        yield Piece(each, name_of(PUBLISHED_SPEC), split, seed, start="published")
        yield Piece(each, name_of(PUBLISHED_SPEC), split, seed)


def _scales(sets: Sequence[str], number: int) -> Iterator[Piece]:
    split, seed = round_of(number)
    for scale in SCALES:
        for method in ("forest", *map(name_of, KEY[1:])):
            for each in sets:
                yield Piece(each, method, split, seed, scale=scale)
