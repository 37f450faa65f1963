"""From the session's choices to a training in a worker, and from its reports to the canvas."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QTimer

from napari_tem_rf import jobs
from napari_tem_rf.gui.annotations import belong, classes_of
from napari_tem_rf.gui.layers import (
    frame_labels,
    frame_pixels,
    image_shape,
    pixel_size_nm,
    source_of,
)
from napari_tem_rf.gui.predicting import Predicting
from napari_tem_rf.gui.predictions import ensure_layer, show_prediction
from napari_tem_rf.gui.session import Session, TrainedRun
from napari_tem_rf.gui.work import Work
from napari_tem_rf.micrographs.annotation import Classes, LabelledImage
from napari_tem_rf.protocol import EpochReport, PreviewReport, Report
from napari_tem_rf.runs import RECORD, WEIGHTS, RunError, RunRecord, read_run, what_remains
from napari_tem_rf.starting import SIMULATED, simulated_start

LARGEST_WATCHED_PX = 1_200_000
_ROOM_MS = 100
"""Time from the button to the empty overlay."""


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


def frame_name(image: Image, frame: int) -> str:
    """Return the name of one frame of an image layer: the layer's name for a single image."""
    return f"{image.name} [{frame}]" if len(image_shape(image)) == 3 else str(image.name)


def start_of(session: Session) -> str | Path | None:
    """Return what the next training starts from: the choice where the network has such weights.

    The paper's protocol starts from nothing; an earlier run may be gone on with by either.
    """
    start = session.start
    if start == SIMULATED and (
        session.plan.preset != "default" or simulated_start(session.spec) is None
    ):
        return None
    return start


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


@dataclass(frozen=True, slots=True, eq=False)
class Interrupted:
    """A training that ended before its time and can be taken up where its run was last kept."""

    request: jobs.TrainRequest
    image: Image
    frame: int


def begin_training(session: Session) -> Work:
    """Start a training and show what comes of it: live overlay, run, prediction.

    The session must have passed `training_checks`.
    """
    image = session.image
    assert image is not None
    session.history = ()
    # should worker and window die together before the run is there
    session.autosave.save()
    request = training_request(session)
    work = _submit(session, request, image, session.frame)

    def make_room() -> None:
        # works end with the session
        if work in session.works and image in session.viewer.layers:
            ensure_layer(session, image, _classes(request), request.spec, run=request.run)

    # napari takes a tenth of a second for a new layer: soon, not in the middle of a stroke, but not
    # before the window has painted what the button changed
    QTimer.singleShot(_ROOM_MS, make_room)
    return work


def resume_training(session: Session) -> Work | None:
    """Take the interrupted training up from its last checkpoint; None when there is none."""
    left = session.interrupted
    if left is None:
        return None
    return _submit(session, replace(left.request, resume=True), left.image, left.frame)


def _classes(request: jobs.TrainRequest) -> Classes:
    values = tuple(sorted(request.class_names))
    return Classes(
        values,
        tuple(request.class_names[value] for value in values),
        tuple(request.class_colors[value] for value in values),
    )


def _submit(session: Session, request: jobs.TrainRequest, image: Image, frame: int) -> Work:
    session.interrupted = None
    classes = _classes(request)

    def on_report(report: Report) -> None:
        if isinstance(report, EpochReport):
            earlier = (each for each in session.history if each.epoch < report.epoch)
            session.history = (*earlier, report)
        elif isinstance(report, PreviewReport) and image in session.viewer.layers:
            show_prediction(
                session,
                image,
                report.labels,
                classes,
                request.spec,
                run=request.run,
                frame=frame,
                origin=report.origin,
            )

    def on_done(record: RunRecord) -> None:
        run = TrainedRun(request.run, record)
        session.add_run(run)
        session.start = run.folder
        if image in session.viewer.layers:
            Predicting(session, run).begin([(image, frame)])

    def on_failed(_sentence: str) -> None:
        if (request.run / RECORD).is_file():
            session.interrupted = Interrupted(request, image, frame)
        if (request.run / WEIGHTS).is_file():
            # what was learned until then can be used, and started from
            try:
                run = TrainedRun(request.run, read_run(request.run).record)
            except RunError:
                return  # the sentence says why
            session.add_run(run)
            session.start = run.folder

    return session.submit(
        jobs.train_run,
        request,
        name=f"training on {image.name}",
        training=True,
        on_report=on_report,
        on_done=on_done,
        on_failed=on_failed,
        remains=lambda: what_remains(request.run),
    )
