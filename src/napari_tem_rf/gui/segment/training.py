"""From the session's choices to a training in a worker, and from its reports to the canvas."""

from dataclasses import replace

from napari.layers import Image
from qtpy.QtCore import QTimer

from napari_tem_rf import jobs
from napari_tem_rf.gui.particles.layers import show_mask_again
from napari_tem_rf.gui.segment.predicting import Predicting
from napari_tem_rf.gui.session.autosave import Autosave
from napari_tem_rf.gui.session.choices import Interrupted, TrainedRun
from napari_tem_rf.gui.session.current_image import CurrentImage
from napari_tem_rf.gui.session.predictions import ensure_layer, show_prediction
from napari_tem_rf.gui.session.request import classes_trained, training_request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.work import Work
from napari_tem_rf.protocol import EpochReport, PreviewReport, Report
from napari_tem_rf.runs import RECORD, WEIGHTS, RunError, RunRecord, read_run, what_remains

_ROOM_MS = 100
"""Time from the button to the empty overlay."""


def begin_training(session: Session) -> Work:
    """Start a training and show its results: live overlay, run, prediction.

    `Situation.can_train` must be true.
    """
    image = session.image
    assert image is not None
    session.note(history=())
    # should worker and window die together before the run is there
    session.part(Autosave).save()
    request = training_request(session)
    work = _submit(session, request, image, session.frame)

    def make_room() -> None:
        # works end with the session
        if work in session.works and image in session.viewer.layers:
            ensure_layer(session, image, classes_trained(request), request.spec, run=request.run)

    # napari takes a tenth of a second for a new layer: soon, not in the middle of a stroke, but not
    # before the window has painted what the button changed
    QTimer.singleShot(_ROOM_MS, make_room)
    return work


def resume_training(session: Session) -> Work | None:
    """Continue the interrupted training from its last checkpoint; None when there is none."""
    left = session.situation.activity.interrupted
    if left is None:
        return None
    return _submit(session, replace(left.request, resume=True), left.image, left.frame)


def _submit(session: Session, request: jobs.TrainRequest, image: Image, frame: int) -> Work:
    session.note(interrupted=None)
    classes = classes_trained(request)

    shown: list[Image] = []

    def on_report(report: Report) -> None:
        if isinstance(report, EpochReport):
            earlier = (each for each in session.history if each.epoch < report.epoch)
            session.note(history=(*earlier, report))
        elif isinstance(report, PreviewReport) and image in session.viewer.layers:
            layer = show_prediction(
                session,
                image,
                report.labels,
                classes,
                request.spec,
                run=request.run,
                frame=frame,
                origin=report.origin,
            )
            show_mask_again(session, layer)
            if not shown:  # later on it stays as the user shows or hides it
                shown.append(image)
                session.part(CurrentImage).show_only(layer, image)

    def on_done(record: RunRecord) -> None:
        run = TrainedRun(request.run, record)
        session.add_run(run)
        session.start = run.folder
        if image in session.viewer.layers:
            Predicting(session, run).begin([(image, frame)])

    def on_failed(_sentence: str) -> None:
        if (request.run / RECORD).is_file():
            session.note(interrupted=Interrupted(request, image, frame))
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
