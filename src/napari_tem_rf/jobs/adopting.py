"""Somebody's weights of a network of this family, made a run that is used like any other."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.locking import locked
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.recognition import Recognised, UnknownNetworkError, recognise
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import NoteReport, Reporter, Stopped, default_plan
from napari_tem_rf.run_record import Adoption
from napari_tem_rf.runs import RunRecord, create_run, file_hash, library_versions, now

__all__ = ["AdoptRequest", "UntoldError", "WeightsFound", "adopt_weights", "look_into_weights"]

STANDARDISED = (0.0, 1.0)
"""Mean and standard deviation of an image that this program shows to a network."""

_OUR_EPSILON = 1e-5
BACKGROUND = "background"


class UntoldError(ValueError):
    """A file of weights does not say all that a run needs; the text is one line.

    Attributes
    ----------
    questions : tuple of str
        A sentence for each thing that has to be told.
    """

    def __init__(self, questions: tuple[str, ...]) -> None:
        super().__init__(" ".join(questions))
        self.questions = questions


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptRequest:
    """What is adopted, and what its file does not say.

    Attributes
    ----------
    file : Path
        Safetensors, what ``torch.save`` wrote of a state dict or a checkpoint, or HDF5.
    run : Path
        Folder to make.
    pools : tuple of int, optional
        Sizes of the max pools, the first level's first.
    dilations : tuple of int
        One a level and one for the bottleneck; all 1 when not given.
    pixel_size_nm : tuple of float, "unknown" or None
        (row, column) size in nm of a pixel of the images that it was trained on. None: not told.
    sees : tuple of float, optional
        Mean and standard deviation of the images as the network was shown them: (0, 1) where each
        was standardised. None: not told.
    class_names : tuple of str
        In the order of the network's outputs; the background stands first unless one of them is
        called so.
    part : str, optional
        Which weights of a checkpoint that holds several.
    skip_first : bool
        Whether a decoder block sees the channels of its own level before those from below.
    norm_epsilon : float, optional
        What its batch norms add to the variance; when not given, what such files usually have.
    licence, source : str
        Under which licence the weights may be passed on, and who published them.
    """

    file: Path
    run: Path
    pools: tuple[int, ...] | None = None
    dilations: tuple[int, ...] = ()
    pixel_size_nm: tuple[float, float] | Literal["unknown"] | None = None
    sees: tuple[float, float] | None = None
    class_names: tuple[str, ...] = ()
    part: str | None = None
    skip_first: bool = True
    norm_epsilon: float | None = None
    licence: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class WeightsFound:
    """A network in a file of weights, as far as the file says what it is.

    Attributes
    ----------
    part : str
        Name of the part that holds it; empty in a plain file.
    widths : tuple of int
        Channels of each level, then of the bottleneck.
    outputs : int
        1 where a sigmoid decides between two classes.
    norm_epsilon : float
        What batch norms of such files add to the variance, unless they were told another number.
    """

    part: str
    widths: tuple[int, ...]
    outputs: int
    norm_epsilon: float

    @property
    def levels(self) -> int:
        """How many pools it has."""
        return len(self.widths) - 1

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return max(2, self.outputs)


def look_into_weights(
    file: Path, *, report: Reporter, stopped: Stopped
) -> tuple[WeightsFound, ...]:
    """Return the networks of a file, at least one.

    Raises
    ------
    ValueError
        When the file holds no network of the family that can be adopted.
    """
    from napari_tem_rf.learning.tensor_files import read_tensors

    held = read_tensors(file)
    found = _networks_in(file, held.parts)
    grey = {name: each for name, each in found.items() if each.channels == 1}
    if not grey:
        _refuse_colours(file, next(iter(found.values())))
    return tuple(
        WeightsFound(name, each.widths, each.outputs, held.norm_epsilon)
        for name, each in grey.items()
    )


def adopt_weights(request: AdoptRequest, *, report: Reporter, stopped: Stopped) -> RunRecord:
    """Make a run of somebody's weights, and return its record.

    Raises
    ------
    UntoldError
        When the request leaves open what the file cannot say.
    ValueError
        When the file holds no network of the family; RunError when the folder cannot be used.
    """
    from napari_tem_rf.learning.network import network_of
    from napari_tem_rf.learning.tensor_files import read_tensors

    held = read_tensors(request.file)
    part, found = _network_in(request, held.parts)
    _refuse_colours(request.file, found)
    pools, size, sees = _told(request, found)
    spec = NetworkSpec(
        pools,
        request.dilations,
        filters=found.widths[0],
        growth=found.growth,
        classes=max(2, found.outputs),
    )
    order = _order_of_classes(request, spec.classes)
    epsilon = held.norm_epsilon if request.norm_epsilon is None else request.norm_epsilon
    weights = _as_ours(found, order, sees, epsilon, request.skip_first)
    network_of(spec, weights)  # raises where something of it does not fit
    broken = [name for name, values in weights.items() if not np.isfinite(values).all()]
    if broken:
        raise ValueError(
            f'"{request.file}" holds numbers that are NaN or infinite, in {len(broken)} of its '
            f"{len(weights)} tensors ({broken[0]} is the first): a network with them answers "
            "nothing; take the weights of an earlier epoch"
        )
    normalisation = (
        "each image: mean 0, standard deviation 1"
        if sees == STANDARDISED
        else f"images of mean {sees[0]:g} and standard deviation {sees[1]:g}"
    )
    record = RunRecord(
        name=request.run.name,
        spec=spec,
        plan=default_plan(),
        classes=_classes(request, order),
        unlabelled="background",
        cleaning=Cleaning(),
        pixel_size_nm=None if size == "unknown" else size,
        data=(),
        split={"sentence": "it was adopted, and not scored here"},
        state="finished",
        created=now(),
        versions=library_versions(),
        adopted=Adoption(
            file=str(request.file.resolve()),
            sha256=file_hash(request.file) or "",
            part=part,
            normalisation=normalisation,
            licence=request.licence,
            source=request.source,
        ),
    )
    with locked(request.run, "adopting"):
        run = create_run(request.run, record, {})
        run.write_weights(weights)
    for note in _notes(request, found, held.norm_epsilon):
        report(NoteReport(note))
    return record


def _network_in(
    request: AdoptRequest, parts: Mapping[str, Mapping[str, NDArray[Any]]]
) -> tuple[str, Recognised]:
    """Return the network of a file and the name of the part that it is in."""
    if request.part is not None:
        if request.part not in parts:
            listed = ", ".join(sorted(name for name in parts if name)) or "one set of weights"
            raise ValueError(f'"{request.file}" has no part "{request.part}": it holds {listed}')
        parts = {request.part: parts[request.part]}
    found = _networks_in(request.file, parts)
    if len(found) == 1:
        return next(iter(found.items()))
    raise ValueError(
        f'"{request.file}" holds {len(found)} sets of weights, {", ".join(sorted(found))}: name '
        "one with --part"
    )


def _networks_in(
    file: Path, parts: Mapping[str, Mapping[str, NDArray[Any]]]
) -> dict[str, Recognised]:
    """Return the networks of a file by the parts that hold them: at least one."""
    found, trouble = {}, None
    for name, tensors in parts.items():
        try:
            found[name] = recognise(tensors)
        except UnknownNetworkError as error:
            trouble = trouble or error
    if not found:
        raise UnknownNetworkError(
            f'"{file}" holds no network of this family, a U-Net of residual blocks: {trouble}'
        )
    return found


def _refuse_colours(file: Path, found: Recognised) -> None:
    if found.channels != 1:
        raise ValueError(
            f'the network in "{file}" takes {found.channels} channels: this program shows '
            "a network one, the grey values; adopt one that was trained on grey images"
        )


def _told(
    request: AdoptRequest, found: Recognised
) -> tuple[tuple[int, ...], tuple[float, float] | Literal["unknown"], tuple[float, float]]:
    """Return what only the user can know; raise with a sentence for each thing left open."""
    questions = []
    pools = request.pools if found.levels else ()
    if pools is None:
        one = found.levels == 1
        questions.append(
            f"Of what size {'is the pool' if one else f'are the {found.levels} pools'}? They have "
            f"no weights: give --pools, for example {','.join(['2'] * found.levels)}, that of the "
            "image's own level first."
        )
    elif len(pools) != found.levels:
        raise ValueError(
            f"{len(pools)} pools are given, but the network has {found.levels} levels above its "
            f"bottleneck ({', '.join(map(str, found.widths))} channels): give one pool a level"
        )
    if request.pixel_size_nm is None:
        questions.append(
            "At what pixel size was it trained? Give --pixel-size in nm, or --pixel-size unknown."
        )
    if request.sees is None:
        questions.append(
            "How were its images normalised? Give --normalisation standardised where each had mean "
            "0 and standard deviation 1, or else the usual mean and standard deviation of what it "
            "was shown, such as --normalisation 0.45,0.12 for grey values from 0 to 1."
        )
    if pools is None or request.pixel_size_nm is None or request.sees is None:
        raise UntoldError(tuple(questions))
    if not request.sees[1] > 0:
        raise ValueError(
            f"normalisation has the standard deviation {request.sees[1]:g}: it must be above 0"
        )
    return pools, request.pixel_size_nm, request.sees


def _order_of_classes(request: AdoptRequest, classes: int) -> tuple[int, ...]:
    """Return the outputs in the order of this program's classes: the background first."""
    names = request.class_names
    if names and len(names) != classes:
        raise ValueError(
            f"{len(names)} classes are named, but the network has {classes}: name them all, in "
            "the order of its outputs"
        )
    if len(set(names)) != len(names):
        raise ValueError(f"the classes {', '.join(names)} are not told apart by their names")
    first = names.index(BACKGROUND) if BACKGROUND in names else 0
    return (first, *(each for each in range(classes) if each != first))


def _classes(request: AdoptRequest, order: tuple[int, ...]) -> Classes:
    if request.class_names:
        names = tuple(request.class_names[place] for place in order)
    else:
        others = len(order) - 1
        particles = (
            ("particle",)
            if others == 1
            else tuple(f"class {number}" for number in range(1, others + 1))
        )
        names = (BACKGROUND, *particles)
    return Classes(tuple(range(len(order))), names)


def _as_ours(
    found: Recognised,
    order: tuple[int, ...],
    sees: tuple[float, float],
    epsilon: float,
    skip_first: bool,
) -> dict[str, NDArray[Any]]:
    """Return the weights as this program's network has them: the same numbers come out."""
    weights: dict[str, NDArray[Any]] = dict(found.weights)
    if found.outputs == 1:
        # sigmoid of x is the softmax of 0 and x
        for name in ("head.weight", "head.bias"):
            weights[name] = np.concatenate([np.zeros_like(weights[name]), weights[name]])
    for name in ("head.weight", "head.bias"):
        weights[name] = weights[name][list(order)]
    for name in [each for each in weights if each.endswith("running_var")]:
        weights[name] = np.maximum(weights[name] + np.float32(epsilon - _OUR_EPSILON), 0)
        weights[name.replace("running_var", "num_batches_tracked")] = np.array(0, np.int64)
    if not skip_first:
        for level in range(found.levels):
            skip = found.widths[found.levels - 1 - level]
            for layer in ("conv1", "shortcut"):
                name = f"decoder.{level}.{layer}.weight"
                weights[name] = np.roll(weights[name], skip, axis=1)
    first = "encoder.0" if found.levels else "bottleneck"
    mean, sd = sees
    if sees != STANDARDISED:
        # what it was shown is mean + sd * what it is shown here
        for layer in ("conv1", "shortcut"):
            weight = weights[f"{first}.{layer}.weight"].astype(np.float64)
            bias = weights[f"{first}.{layer}.bias"] + mean * weight.sum(axis=(1, 2, 3))
            weights[f"{first}.{layer}.weight"] = (sd * weight).astype(np.float32)
            weights[f"{first}.{layer}.bias"] = bias.astype(np.float32)
    return weights


def _notes(request: AdoptRequest, found: Recognised, epsilon: float) -> list[str]:
    """Return what was taken for granted, as sentences for the user."""
    widths = ", ".join(map(str, found.widths))
    notes = [
        f"found a network of {found.levels} levels above its bottleneck, with {widths} channels "
        f"and {found.outputs} output{'s' * (found.outputs > 1)}"
    ]
    if found.levels:
        order = "its own level's first" if request.skip_first else "those from below first"
        notes.append(
            f"a decoder block is taken to see {order}: nothing in the file says so; "
            f"{'--below-first' if request.skip_first else '--skip-first'} if it is the other way"
        )
    if not request.class_names:
        notes.append("its first output is taken for the background; --classes names them")
    if request.norm_epsilon is None and epsilon != _OUR_EPSILON:
        notes.append(
            f"its batch norms are taken to add {epsilon:g} to the variance, as Keras does unless "
            "told; --norm-epsilon says otherwise"
        )
    if request.sees not in (None, STANDARDISED):
        notes.append(
            "at an image's own border it may decide otherwise than where it was trained: what "
            "surrounds an image is the mean here"
        )
    return notes
