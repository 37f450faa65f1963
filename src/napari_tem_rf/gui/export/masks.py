"""Masks, instances and probabilities out of the window, each with a record of how it was made."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_tem_rf.exporting import Origin, write_with_record
from napari_tem_rf.gui.layers.layers import pixel_size_nm, source_of
from napari_tem_rf.gui.layers.marks import ParticlesMark, image_mark_of, is_ours, mark_of
from napari_tem_rf.gui.particles import layers as particle_layers
from napari_tem_rf.gui.session.annotations import classes_of
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring.series import Finding, Ground, find_in
from napari_tem_rf.micrographs.framewise import Framewise, PackedLabels
from napari_tem_rf.micrographs.writing import (
    InstanceImage,
    write_instances,
    write_labels,
    write_probabilities,
)
from napari_tem_rf.runs import read_run


@dataclass(frozen=True, slots=True, eq=False)
class Outgoing:
    """A Labels layer on its way out: what it held when it was asked for.

    Attributes
    ----------
    labels : ndarray of int or Framewise, shape (row, column) or (frame, row, column)
    origin : Origin
        Where it comes from.
    class_of : dict of int to int
        Class of each particle, for a layer of particles.
    class_names : dict of int to str
    background : int
        A value that is background besides 0: that of strokes.
    """

    labels: NDArray[np.integer] | Framewise
    origin: Origin
    class_of: dict[int, int]
    class_names: dict[int, str]
    background: int = 0


def outgoing(session: Session, layer: Labels) -> Outgoing:
    """Return what a layer holds now, so that it may be painted on while that is written."""
    mark = mark_of(layer)
    image = particle_layers.image_under(session, layer)
    is_particles = isinstance(mark, ParticlesMark)
    of_particles = mark if isinstance(mark, ParticlesMark) else ParticlesMark()
    mask = of_particles.mask if is_particles else str(layer.name)
    predicted = image_mark_of(layer)
    data = layer.data
    if isinstance(data, PackedLabels):
        data = data.copy()
    elif not isinstance(data, Framewise):
        data = np.array(data)
    ground = layer if is_particles else particle_layers.ground_layer(session, layer)
    origin = Origin(
        image=mask if image is None else str(image.name),
        mask=mask,
        source=None if image is None else source_of(image),
        run=predicted.run,
        pixel_size_nm=pixel_size_nm(ground),
        finding=of_particles.finding,
        told_apart=of_particles.told_apart,
        by_hand=of_particles.by_hand if is_particles else mark.kind != "prediction",
        is_particles=is_particles,
        resampling=None if predicted.resampling is None else predicted.resampling.to_dict(),
        finishing=predicted.finishing,
    )
    class_of = {}
    if is_particles and {"index", "class"} <= set(layer.features):
        values = layer.features["index"].astype(int), layer.features["class"].astype(int)
        class_of = dict(zip(*(each.tolist() for each in values), strict=True))
    return Outgoing(
        data,
        origin,
        class_of,
        _class_names(layer, origin.run),
        0 if is_particles else particle_layers.strokes_background(session, layer),
    )


def export_mask(path: Path, out: Outgoing, overwrite: bool = False) -> tuple[bool, str]:
    """Write labels in the format of the path's ending, and how they were made.

    Returns whether it went well, and a sentence for the user.
    """
    return _written(
        path,
        out.origin,
        lambda: write_labels(path, out.labels, out.origin.pixel_size_nm, overwrite=overwrite),
    )


def export_instances(path: Path, out: Outgoing, overwrite: bool = False) -> tuple[bool, str]:
    """Write particles one by one in the format of the path's ending, and how they were made.

    Those of a layer of particles as they are; those of a mask are found first.
    """
    finding = out.origin.finding
    if not out.origin.is_particles:
        finding = Finding()
    origin = replace(out.origin, is_particles=True, finding=finding)

    def write() -> None:
        names = out.class_names
        values = {*out.class_of.values(), *([] if out.origin.is_particles else names), 1}
        write_instances(
            path,
            _instance_images(out),
            {value: names.get(value, f"class {value}") for value in sorted(values)},
            overwrite=overwrite,
        )

    return _written(path, origin, write)


def export_probabilities(
    path: Path, probabilities: NDArray[np.float32], origin: Origin, overwrite: bool = False
) -> tuple[bool, str]:
    """Write class probabilities, shape (class, row, column), as float TIFF with their record."""
    return _written(
        path,
        origin,
        lambda: write_probabilities(path, probabilities, origin.pixel_size_nm, overwrite=overwrite),
    )


def _written(path: Path, origin: Origin, write: Callable[[], Any]) -> tuple[bool, str]:
    try:
        beside = write_with_record(path, origin, write)
    except (OSError, ValueError) as error:
        return False, str(error)
    return True, f"Written: {path}, and how it was made: {beside.name}"


def _instance_images(out: Outgoing) -> Iterator[InstanceImage]:
    """Give the instances of frame after frame."""
    labels, origin = out.labels, out.origin
    frames = range(labels.shape[0]) if labels.ndim == 3 else range(1)
    name = origin.image if origin.source is None else origin.source.name
    first = 1
    for index in frames:
        plane = np.asarray(labels[index] if labels.ndim == 3 else labels)
        class_of = out.class_of
        if not origin.is_particles:
            plane, class_of = _found(plane, out, first)
            first += len(class_of)
        else:
            present = {int(value) for value in np.unique(plane) if value > 0}
            class_of = {value: class_of.get(value, 1) for value in present}
        title = f"{name}[{index}]" if labels.ndim == 3 else name
        frame = index if labels.ndim == 3 else None
        yield InstanceImage(title, plane.astype(np.int64), class_of, origin.pixel_size_nm, frame)


def _found(
    mask: NDArray[np.integer], out: Outgoing, first: int
) -> tuple[NDArray[np.integer], dict[int, int]]:
    """Return the particles of a frame of a mask, and the class of each."""
    ground = Ground(out.origin.pixel_size_nm)
    job = find_in(
        lambda _frame: mask,
        [0],
        (mask.shape[0], mask.shape[1]),
        Finding(),
        ground,
        background=out.background,
        first_label=first,
    )
    while True:
        try:
            next(job)
        except StopIteration as end:
            found = end.value
            break
    plane = np.asarray(found.labels[0])
    inside = plane > 0
    labels, places = np.unique(plane[inside], return_index=True)
    classes = mask[inside][places]
    known = out.class_names
    return plane, {
        int(label): int(value) if int(value) in known else 1
        for label, value in zip(labels, classes, strict=True)
    }


def _class_names(layer: Labels, run: Path | None) -> dict[int, str]:
    """Return the names of a mask's values: those of its run, or those noted in the layer."""
    if run is not None:
        try:
            classes = read_run(run).record.classes
        except (OSError, ValueError):
            pass  # moved or deleted since: the particles are as good without names
        else:
            return dict(zip(classes.prediction_values[1:], classes.names[1:], strict=True))
    if is_ours(layer, "annotation"):
        named = classes_of(layer, "background")
        return {
            value: name
            for value, name in zip(named.values, named.names, strict=True)
            if value > 0 and name != "background"
        }
    return {1: "particle"}
