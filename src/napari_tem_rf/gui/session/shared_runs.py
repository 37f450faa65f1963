"""The zip of a run that somebody shared becomes the run that predicts."""

from pathlib import Path

from napari.utils.notifications import show_info, show_warning

from napari_tem_rf.gui.session.background import run_in_thread
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.status import Status
from napari_tem_rf.runs import Run, read_run

__all__ = ["open_shared_run"]


def open_shared_run(session: Session, path: Path) -> None:
    """Check and unpack the zip of a run in the background, and choose the run.

    What comes of it is said in the dock's one line and, because that need not be open, by napari.
    """

    def opened(run: Run) -> None:
        session.add_run(TrainedRun(run.folder, run.record))
        _say(session, f'The run "{run.folder.name}" is open: Predict and Predict all use it.', True)

    session.part(Status).say(f"Opening {path.name}...", "quiet")
    run_in_thread(
        lambda _stopped, _say_it: read_run(path),
        opened,
        lambda trouble: _say(session, trouble, False),
    )


def _say(session: Session, words: str, well: bool) -> None:
    session.part(Status).say(words, "good" if well else "error")
    (show_info if well else show_warning)(words)
