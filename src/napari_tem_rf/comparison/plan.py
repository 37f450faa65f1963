"""What a comparison is asked to do: which networks, with which seeds, on how much held out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from typing import Any

from napari_tem_rf.describing import told
from napari_tem_rf.figures.quantities import QUANTITIES, SCORES
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.catalog import catalog
from napari_tem_rf.networks.receptive_field import nominal_receptive_field, receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import (
    LARGEST_SEED,
    PAPER_SEEDS,
    PRESETS,
    LabelsAre,
    TrainingPlan,
    Unlabelled,
    default_plan,
)
from napari_tem_rf.run_record import METHODS

__all__ = [
    "BASELINES",
    "FOURIER_FILTER",
    "RANDOM_FOREST",
    "ComparisonPlan",
    "ComparisonSettings",
    "Contestant",
    "asked_settings",
    "grid",
    "network_name",
    "seeds",
]

RANDOM_FOREST, FOURIER_FILTER = METHODS["forest"], METHODS["fourier"]
BASELINES = (RANDOM_FOREST, FOURIER_FILTER)

FOREST_REACH_PX = 68
"""How far a feature of the random forest sees from its pixel."""

MOST_TRAININGS = 10_000
"""Trainings that one comparison may have."""

FIRST_SECONDS_EACH = 60.0
"""Training time of each network in s when none is given."""

_FAR_OFF = 0.25


@dataclass(frozen=True, slots=True)
class ComparisonSettings:
    """What the user asks of a comparison; with images it becomes a `ComparisonPlan`.

    Attributes
    ----------
    receptive_fields, parameters : tuple of float
        Wished nominal fields in px and numbers of parameters; each pair becomes a network.
    seeds : int
        Trainings of each network.
    seconds, epochs : float or int, optional
        Length of each training; one of the two.
    decides : str
        The score that suggestion and sentences go by.
    baselines : bool
        Whether random forest and Fourier filter take part.
    finish : bool
        Whether masks are finished before they are scored; never with the paper's recipe.
    held_out : float
        Fraction that is scored and never trained on.
    group_by : str
        Regular expression that finds what the names of one exposure share; empty: each image, or
        series, is an exposure of its own.
    split_seed : int
        Seed of the draw of what is held out.
    """

    receptive_fields: tuple[float, ...] = told(
        (5.0, 44.0, 120.0, 392.0),
        "fields",
        "Wished nominal receptive fields, as 5,44,120; the nearest networks are taken",
        unit="px",
    )
    parameters: tuple[float, ...] = told(
        (8000.0, 32000.0),
        "parameters",
        "Wished numbers of trainable parameters, as 8000,32000; each is trained at every field",
    )
    seeds: int = told(
        3,
        "seeds",
        "Trainings of each network, which differ by chance only: they tell the spread",
        least=1,
        most=MOST_TRAININGS,
    )
    seconds: float | None = told(
        FIRST_SECONDS_EACH,
        "time each",
        "Length of each training: the same time budget for all",
        unit="s",
        none="no limit",
        least=0.1,
    )
    epochs: int | None = told(
        None,
        "epochs each",
        "Length of each training in rounds over what is annotated",
        none="no limit",
        least=1,
    )
    decides: str = told(
        "dice",
        "score",
        "The score that the suggestion and the sentences go by; signed errors count by their "
        "distance from 0. May be changed later: nothing is trained again",
        choices={name: QUANTITIES[name].words for name in SCORES},
    )
    baselines: bool = told(
        True,
        "with baselines",
        "Random forest and Fourier filter, which learn from the same annotation: where they are as "
        "good, no network is needed",
    )
    held_out: float = told(
        0.2,
        "held out",
        "Part of the annotation that is scored and that nothing is trained on: whole images (or "
        "exposures) where there are at least three, blocks of each image below that",
        percent=True,
        least=0.01,
        most=0.9,
        option="--validation",
    )
    finish: bool = told(
        True,
        "score finished masks",
        "Smooth, clear of specks and fill each mask before it is scored, as it is where a network "
        "is used; without it pixels are scored as the networks decided them, as in the paper",
    )
    group_by: str = told(
        "",
        "exposures",
        "Where several images show the same place: a regular expression that finds what their "
        r"names share, as gold_(\d+)_. Images of one exposure are held out together",
        none="each image by itself",
    )
    split_seed: int = told(
        PAPER_SEEDS[0],
        "drawn by seed",
        "Seed of the draw of what is held out",
        least=0,
        most=LARGEST_SEED,
        option="--seed",
    )

    def plan(
        self, specs: tuple[NetworkSpec, ...], training: TrainingPlan, **more: Any
    ) -> "ComparisonPlan":
        """Return the plan for networks, trained as a recipe says for the length asked for.

        Parameters
        ----------
        specs : tuple of NetworkSpec
        training : TrainingPlan
        **more
            Other attributes of `ComparisonPlan`.
        """
        return ComparisonPlan(
            specs=specs,
            seeds=seeds(self.seeds),
            training=replace(training, seconds=self.seconds, epochs=self.epochs),
            held_out=self.held_out,
            split_seed=self.split_seed,
            baselines=BASELINES if self.baselines else (),
            finish=self.finish and training.preset != "sytwu2022",
            decides=self.decides,
            **more,
        )


def asked_settings(preset: str = "default", **given: Any) -> ComparisonSettings:
    """Return the settings that are given; a recipe with a length of its own keeps it.

    Parameters
    ----------
    preset : str
        Name of the recipe: the paper's trains for a number of epochs.
    **given
        Attributes of `ComparisonSettings`.
    """
    if given.keys().isdisjoint(("epochs", "seconds")):
        epochs = PRESETS[preset]().epochs
        return ComparisonSettings(
            **given, seconds=FIRST_SECONDS_EACH if epochs is None else None, epochs=epochs
        )
    return ComparisonSettings(**{"seconds": None, **given})


@dataclass(frozen=True, slots=True)
class Contestant:
    """One training of a comparison: a network with a seed, or a baseline.

    Attributes
    ----------
    name : str
        The network's or the baseline's name; the seeds of one network share it.
    folder : str
        Place of its files in the comparison's folder, with forward slashes.
    spec : NetworkSpec, optional
        None for a baseline.
    seed : int
    """

    name: str
    folder: str
    spec: NetworkSpec | None
    seed: int


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """A grid of networks and seeds, trained alike on the same annotations.

    Attributes
    ----------
    specs : tuple of NetworkSpec
        The networks; their number of classes comes from the labels.
    seeds : tuple of int
        Each network is trained once with each.
    training : TrainingPlan
        How each is trained; its seed is replaced, its ``validation`` is the part of the training
        images that chooses the epoch.
    held_out : float
        Fraction of the groups, or of the annotated pixels, that is scored and never trained on.
    split_seed : int
        Seed of the draw of what is held out.
    unlabelled : {"ignore", "background"}
        What a label of 0 means.
    labels_are : {"auto", "classes", "particles"}
        Whether label values are classes or numbers of particles.
    cleaning : Cleaning
        What is done to the pixels first.
    baselines : tuple of str
        Of `BASELINES`.
    finish : bool
        Whether every mask is finished as its annotation suggests before it is scored.
    class_names, class_colors : dict of int to str
        By label value.
    decides : str
        The score, of `figures.quantities.SCORES`, that suggestion and sentences go by.

    Raises
    ------
    ValueError
        When there is nothing to compare, or a value is out of its range.
    """

    specs: tuple[NetworkSpec, ...]
    seeds: tuple[int, ...] = PAPER_SEEDS[:3]
    training: TrainingPlan = field(default_factory=lambda: default_plan(seconds=FIRST_SECONDS_EACH))
    held_out: float = 0.2
    split_seed: int = PAPER_SEEDS[0]
    unlabelled: Unlabelled = "ignore"
    labels_are: LabelsAre = "classes"
    cleaning: Cleaning = field(default_factory=Cleaning)
    baselines: tuple[str, ...] = BASELINES
    finish: bool = True
    class_names: dict[int, str] = field(default_factory=dict)
    class_colors: dict[int, str] = field(default_factory=dict)
    decides: str = "dice"

    def __post_init__(self) -> None:
        if self.decides not in SCORES:
            raise ValueError(
                f'there is no score "{self.decides}" to decide by: choose from {", ".join(SCORES)}'
            )
        if not self.specs:
            raise ValueError("there is no network to compare: give at least one")
        if not self.seeds:
            raise ValueError("there is no seed: each network is trained with at least one")
        for what, values in (("networks", self.specs), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"the {what} hold one twice: give each once")
        if len(self.specs) * len(self.seeds) > MOST_TRAININGS:
            raise ValueError(
                f"{len(self.specs)} networks with {len(self.seeds)} seeds are "
                f"{len(self.specs) * len(self.seeds):,} trainings: at most {MOST_TRAININGS:,} are "
                "compared; take fewer of either"
            )
        if not all(0 <= seed <= LARGEST_SEED for seed in (*self.seeds, self.split_seed)):
            raise ValueError(f"a seed is not from 0 to {LARGEST_SEED:,}")
        if not 0 < self.held_out < 1:
            raise ValueError(
                f"held_out is {self.held_out}: a comparison scores on what it holds out; "
                "give a fraction between 0 and 1"
            )
        for name in self.baselines:
            if name not in BASELINES:
                raise ValueError(
                    f'there is no baseline "{name}": choose from {", ".join(BASELINES)}'
                )

    @property
    def reach_px(self) -> int:
        """How far the networks see, in px of the cleaned image: the largest halo or field."""
        fields = [receptive_field(spec) for spec in self.specs]
        return max(max(rf.halo, int(rf.before.max()), int(rf.after.max())) for rf in fields)

    @property
    def gap_px(self) -> int:
        """How far held-out pixels must be from training pixels, in px of the cleaned image.

        The networks' reach, or that of the random forest's features where it takes part.
        """
        forest = FOREST_REACH_PX if RANDOM_FOREST in self.baselines else 0
        return max(self.reach_px, forest)

    def contestants(self, classes: int) -> Iterator[Contestant]:
        """Yield the baselines, then the networks: all of them with a seed before the next seed.

        Parameters
        ----------
        classes : int
            Classes of the labels, background included.
        """
        for name in self.baselines:
            slug = name.lower().replace(" ", "_")
            yield Contestant(name, f"baselines/{slug}", None, self.seeds[0])
        specs = [spec.with_classes(classes) for spec in self.specs]
        names = [network_name(spec) for spec in specs]
        for seed in self.seeds:
            for spec, name in zip(specs, names, strict=True):
                unique = name if names.count(name) == 1 else f"{name} ({spec})"
                yield Contestant(unique, f"runs/{_slug(spec)}_seed_{seed}", spec, seed)


def network_name(spec: NetworkSpec) -> str:
    """Return a network's name: its nominal field and its parameters."""
    return f"field {nominal_receptive_field(spec)} px, {spec.parameters:,} parameters"


def grid(
    receptive_fields: Sequence[float], parameters: Sequence[float]
) -> tuple[tuple[NetworkSpec, ...], tuple[str, ...]]:
    """Return the catalog's networks nearest to each pair of wishes, and sentences about misses.

    Parameters
    ----------
    receptive_fields : sequence of float
        Wished nominal fields in px.
    parameters : sequence of float
        Wished numbers of parameters.

    Raises
    ------
    ValueError
        When a list is empty, or a wish is not a positive number.
    """
    if not receptive_fields or not parameters:
        raise ValueError("a grid needs at least one receptive field and one number of parameters")
    specs: list[NetworkSpec] = []
    notes = []
    for wanted in parameters:
        for wish in receptive_fields:
            match = catalog().pick(wish, wanted)
            if match.within > _FAR_OFF:
                notes.append(
                    f"no network has a field of {wish:g} px and {wanted:g} parameters: the nearest "
                    f"has {match.receptive_field} px and {match.parameters:,}"
                )
            if match.spec not in specs:
                specs.append(match.spec)
    return tuple(specs), tuple(notes)


def seeds(number: int) -> tuple[int, ...]:
    """Return the first seeds: the paper's five, then 1, 2, 3 and so on."""
    if number < 1:
        raise ValueError(f"{number} seeds were asked for: give at least 1")
    if number > MOST_TRAININGS:
        raise ValueError(f"{number:,} seeds were asked for: at most {MOST_TRAININGS:,}")
    others = (seed for seed in count(1) if seed not in PAPER_SEEDS)
    return tuple(islice(chain(PAPER_SEEDS, others), number))


def _slug(spec: NetworkSpec) -> str:
    parts = [f"field_{nominal_receptive_field(spec)}", f"pools_{_joined(spec.pools) or 'none'}"]
    if set(spec.dilations) != {1}:
        parts.append(f"dilations_{_joined(spec.dilations)}")
    parts.append(f"filters_{spec.filters}")
    if spec.growth != 2:
        parts.append(f"growth_{spec.growth:g}")
    return "_".join(parts)


def _joined(values: Sequence[int]) -> str:
    return "-".join(map(str, values))
