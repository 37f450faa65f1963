"""What a training may start from: nothing, a network of simulated micrographs, or an earlier run.

The weights of some networks come with the program, each trained on simulated scenes of very many
specimens (``sample_data/starting_weights.py``). They see lattices, amorphous matter and dark
particles before they have seen the first real image.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.runs import WEIGHTS, RunError, read_run, run_folder

__all__ = [
    "DEFAULT",
    "NOTHING",
    "SIMULATED",
    "SimulatedStart",
    "known_rows",
    "named_start",
    "read_start",
    "simulated_start",
    "simulated_starts",
    "start_file",
    "usual_start",
]

SIMULATED = "simulated"
"""Name of the start from simulated micrographs."""

NOTHING = "nothing"
"""Name of the start from new weights."""

_HEAD = "head."
"""Names of the last layer's weights begin so."""

DEFAULT = "default"
"""Name of the start that a training has unless it is told another: see `usual_start`."""


@dataclass(frozen=True, slots=True)
class SimulatedStart:
    """Weights that come with the program.

    Attributes
    ----------
    path : Path
        A safetensors file; its metadata say how it was made.
    spec : NetworkSpec
        The network, with the classes of the simulated scenes.
    scenes, steps, seed : int
        On how many scenes it was trained, for how many steps of Adam.
    """

    path: Path
    spec: NetworkSpec
    scenes: int
    steps: int
    seed: int


@cache
def simulated_starts() -> tuple[SimulatedStart, ...]:
    """Return the weights that come with the program, by receptive field."""
    from safetensors import safe_open

    found = []
    folder = Path(str(files("napari_tem_rf") / "starts"))
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            words = json.loads(file.metadata()["start"])
        spec = NetworkSpec(
            tuple(words["pools"]), filters=words["filters"], classes=len(words["classes"])
        )
        found.append(SimulatedStart(path, spec, words["scenes"], words["steps"], words["seed"]))
    return tuple(sorted(found, key=lambda s: (nominal_receptive_field(s.spec), s.spec.parameters)))


def simulated_start(spec: NetworkSpec) -> SimulatedStart | None:
    """Return the weights for a network, whatever its classes; None where there are none."""
    for start in simulated_starts():
        if start.spec.with_classes(spec.classes) == spec:
            return start
    return None


def usual_start(spec: NetworkSpec, preset: str) -> str | None:
    """Return what a training starts from unless it is told: weights of simulated micrographs.

    None, which is new weights, where none come for the network, and with the protocol of a paper.
    The window, the command line and Python have this default.
    """
    return SIMULATED if preset == "default" and simulated_start(spec) is not None else None


def named_start(
    name: str | Path | None, spec: NetworkSpec | None = None, preset: str = "default"
) -> str | Path | None:
    """Return a start as it was named: `SIMULATED`, the absolute path of a run, or None.

    Parameters
    ----------
    name : str or Path, optional
        `SIMULATED`, `NOTHING` or None, `DEFAULT`, or a run.
    spec, preset
        The network and the plan's preset, which `DEFAULT` depends on.
    """
    if name is None or str(name) == NOTHING:
        return None
    if str(name) == DEFAULT:
        return None if spec is None else usual_start(spec, preset)
    return name if str(name) == SIMULATED else Path(name).resolve()


def start_file(start: str | Path, spec: NetworkSpec) -> Path:
    """Return the file of the weights that a training starts from.

    Parameters
    ----------
    start : str or Path
        `SIMULATED`, or the folder of a run.
    spec : NetworkSpec
        The network that is to be trained.

    Raises
    ------
    ValueError
        When no weights come with the program for this network.
    """
    if str(start) != SIMULATED:
        return run_folder(start) / WEIGHTS
    if (found := simulated_start(spec)) is not None:
        return found.path
    there = ", ".join(
        f"{nominal_receptive_field(s.spec)} px with {s.spec.with_classes(2).parameters:,} "
        "parameters"
        for s in simulated_starts()
    )
    raise ValueError(
        f"no weights of simulated micrographs come for {spec}: they come for {there}; pick one "
        "of these networks, or start from nothing"
    )


def read_start(
    start: str | Path, spec: NetworkSpec, classes: Classes
) -> Mapping[str, NDArray[Any]]:
    """Return the weights that a training starts from, by name.

    Those of simulated micrographs know other classes: their last layer is left out. Of a run all
    layers are kept; where its classes are others than those asked for, so are the rows of its last
    layer for the classes that both have, and the rows of new classes are not a number (NaN).

    Parameters
    ----------
    start : str or Path
        `SIMULATED`, or the folder of a run.
    spec : NetworkSpec
        The network that is to be trained.
    classes : Classes
        What it is to tell apart.

    Raises
    ------
    ValueError
        When no weights come with the program for this network; RunError when the run has another
        network.
    """
    from safetensors.numpy import load_file

    if str(start) == SIMULATED:
        weights = load_file(start_file(start, spec))
        return {name: value for name, value in weights.items() if not name.startswith(_HEAD)}
    run = read_run(start)
    known = run.record.network
    if known.with_classes(spec.classes) != spec:
        raise RunError(
            f'run "{start}" has the network {known}: its weights do not fit {spec}; pick the same '
            "network or start from nothing"
        )
    weights = run.read_weights()
    rows = known_rows(run.record.classes, classes)
    if known.classes == spec.classes and None not in rows:
        return weights
    return {
        name: _rows_of(value, rows) if name.startswith(_HEAD) else value
        for name, value in weights.items()
    }


def known_rows(before: Classes, classes: Classes) -> tuple[int | None, ...]:
    """Return where the last layer that knows some classes has the row of each of others.

    The background stays the background. Another class is the one of the same value, or, between
    strokes (1, 2) and masks (0, 1), of the same name; None where there is none: the class is new.
    """
    same_values = before.values[0] == classes.values[0]
    rows: list[int | None] = [0]
    for place, (value, name) in enumerate(zip(classes.values, classes.names, strict=True)):
        if place == 0:
            continue
        if not same_values and name in before.names[1:]:
            rows.append(before.names.index(name))
        elif value in before.values[1:]:
            rows.append(before.values.index(value))
        elif not same_values and len(before.values) == len(classes.values):
            rows.append(place)
        else:
            rows.append(None)
    return tuple(rows)


def _rows_of(known: NDArray[Any], rows: tuple[int | None, ...]) -> NDArray[Any]:
    """Return the rows of a last layer's weights in another order; NaN for None."""
    found = np.full((len(rows), *known.shape[1:]), np.nan, known.dtype)
    for place, row in enumerate(rows):
        if row is not None:
            found[place] = known[row]
    return found
