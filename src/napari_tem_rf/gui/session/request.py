"""From the choices of a session to what a worker needs to train."""

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
from napari_tem_rf.gui.session.situation import Scene
from napari_tem_rf.micrographs.annotation import Classes, LabelledImage
from napari_tem_rf.micrographs.micrograph import dose_in

LARGEST_WATCHED_PX = 1_200_000


def labelled_images(session: Session) -> tuple[LabelledImage, ...]:
    """Return every annotated frame with its labels; frames of one series are one group."""
    return _labelled_images(session.refresh().scene)


def _labelled_images(scene: Scene) -> tuple[LabelledImage, ...]:
    images = []
    for each in scene.annotated:
        image, labels = each.pair.image, each.pair.labels
        belong(labels, image)
        for frame in each.frames:
            images.append(
                LabelledImage(
                    name=frame_name(image, frame),
                    pixels=frame_pixels(image, frame),
                    # a copy: the user may go on painting while the worker gets it
                    labels=frame_labels(labels, frame).copy(),
                    pixel_size_nm=pixel_size_nm(image),
                    group=image.name,
                    dose=dose_in(image.metadata),
                )
            )
    return tuple(images)


def training_request(session: Session) -> jobs.TrainRequest:
    """Return all that a worker needs to train what is chosen in the session."""
    situation = session.refresh()
    choices, scene = situation.choices, situation.scene
    image = choices.image
    if image is None:
        raise ValueError("no image is chosen: open one first")
    names: dict[int, str] = {}
    colors: dict[int, str] = {}
    for each in scene.annotated:
        classes = classes_of(each.pair.labels, choices.unlabelled, numbered=scene.meaning.numbered)
        # the chosen annotation comes first: its names and colours hold
        for value, name, color in zip(classes.values, classes.names, classes.colors, strict=True):
            names.setdefault(value, name)
            colors.setdefault(value, color)
    return jobs.TrainRequest(
        run=session.new_run_folder(),
        images=_labelled_images(scene),
        unlabelled=choices.unlabelled,
        labels_are="particles" if scene.meaning.numbered else "classes",
        cleaning=choices.cleaning,
        class_names=names,
        class_colors=colors,
        spec=choices.spec,
        plan=choices.plan,
        start=situation.start,
        watched=jobs.Watched(
            frame_pixels(image, scene.frame), window_in_view(image), choices.finishing
        ),
        sources={
            frame_name(each.pair.image, frame): str(source)
            for each in scene.annotated
            for frame in each.frames
            if (source := source_of(each.pair.image)) is not None
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


def classes_trained(request: jobs.TrainRequest) -> Classes:
    """Return the classes that a training learns, in the order of their values."""
    values = tuple(sorted(request.class_names))
    return Classes(
        values,
        tuple(request.class_names[value] for value in values),
        tuple(request.class_colors[value] for value in values),
    )
