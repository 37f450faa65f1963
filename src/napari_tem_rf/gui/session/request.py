"""From the choices of a session to what a worker needs to train."""

from pathlib import Path

import numpy as np
from napari.layers import Image

from napari_tem_rf import jobs
from napari_tem_rf.gui.layers.layers import (
    frame_labels,
    frame_name,
    frame_pixels,
    image_shape,
    pixel_size_nm,
    source_of,
)
from napari_tem_rf.gui.session.annotations import belong, classes_of
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.annotation import Classes, LabelledImage
from napari_tem_rf.starting import SIMULATED, usual_start

LARGEST_WATCHED_PX = 1_200_000


def labelled_images(session: Session) -> tuple[LabelledImage, ...]:
    """Return every annotated frame with its labels; frames of one series are one group."""
    images = []
    for pair, _ in session.annotated():
        belong(pair.labels, pair.image)
        for frame in pair.annotated_frames():
            images.append(
                LabelledImage(
                    name=frame_name(pair.image, frame),
                    pixels=frame_pixels(pair.image, frame),
                    # a copy: the user may go on painting while the worker gets it
                    labels=frame_labels(pair.labels, frame).copy(),
                    pixel_size_nm=pixel_size_nm(pair.image),
                    group=pair.image.name,
                )
            )
    return tuple(images)


def start_of(session: Session) -> str | Path | None:
    """Return what the next training starts from: the choice where the network has such weights.

    The paper's protocol starts from nothing; an earlier run may be gone on with by either.
    """
    start = session.start
    return usual_start(session.spec, session.plan.preset) if start == SIMULATED else start


def training_request(session: Session) -> jobs.TrainRequest:
    """Return all that a worker needs to train what is chosen in the session."""
    image = session.image
    if image is None:
        raise ValueError("no image is chosen: open one first")
    names: dict[int, str] = {}
    colors: dict[int, str] = {}
    for pair, _ in session.annotated():
        classes = classes_of(pair.labels, session.unlabelled)
        # the chosen annotation comes first: its names and colours hold
        for value, name, color in zip(classes.values, classes.names, classes.colors, strict=True):
            names.setdefault(value, name)
            colors.setdefault(value, color)
    return jobs.TrainRequest(
        run=session.new_run_folder(),
        images=labelled_images(session),
        unlabelled=session.unlabelled,
        cleaning=session.cleaning,
        class_names=names,
        class_colors=colors,
        spec=session.spec,
        plan=session.plan,
        start=start_of(session),
        watched=jobs.Watched(frame_pixels(image, session.frame), window_in_view(image)),
        sources={
            frame_name(pair.image, frame): str(source)
            for pair, _ in session.annotated()
            for frame in pair.annotated_frames()
            if (source := source_of(pair.image)) is not None
        },
    )


def window_in_view(image: Image) -> tuple[slice, slice] | None:
    """Return the (rows, columns) of an image that the canvas shows; None for a small image.

    A small image is watched as a whole: that costs little and the user may look anywhere.
    """
    shape = image_shape(image)[-2:]
    if shape[0] * shape[1] <= LARGEST_WATCHED_PX:
        return None
    (top, left), (bottom, right) = np.asarray(image.corner_pixels)[:, -2:].tolist()
    rows = slice(max(0, int(top)), min(shape[0], int(bottom) + 1))
    columns = slice(max(0, int(left)), min(shape[1], int(right) + 1))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    return rows, columns


def _classes(request: jobs.TrainRequest) -> Classes:
    values = tuple(sorted(request.class_names))
    return Classes(
        values,
        tuple(request.class_names[value] for value in values),
        tuple(request.class_colors[value] for value in values),
    )
