"""The comparison of a viewer's session: begun, stopped, continued, opened again.

`run_comparison` waits for the engine's workers in a thread of its own, which does next to nothing;
what it says comes into the window's thread.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_tem_rf.comparison import (
    REPORT,
    Comparison,
    ComparisonPlan,
    ComparisonReport,
    HeldOut,
    hold_out,
    read_comparison,
    recall_images,
    report_on,
    run_comparison,
)
from napari_tem_rf.gui.layers.layers import frame_name, frame_pixels, image_shape
from napari_tem_rf.gui.session.background import ThreadWork, run_in_thread
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.runs import ImageEntry

__all__ = ["Comparing"]


class Comparing:
    """What is compared in a session, and how far it is.

    Signals
    -------
    changed()
        Another comparison, another result, or a run of it began or ended.
    reported(ComparisonReport)
        Something was said while it runs.
    report_written(Path | None)
        The HTML report is on disk, or could not be written.

    Attributes
    ----------
    is_running, is_stopping : bool
    trouble : str
        Why the comparison could not continue; empty when nothing is wrong.
    """

    changed = Signal()
    reported = Signal(object)
    report_written = Signal(object)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._comparison: Comparison | None = None
        self._images: tuple[LabelledImage, ...] | None = None
        self._held_out: HeldOut | None = None
        self._sources: dict[str, str] = {}
        self._work: ThreadWork | None = None
        self._is_closed = False
        self.is_running = False
        self.trouble = ""
        session.closed.connect(self._close)

    @property
    def comparison(self) -> Comparison | None:
        """What is shown: the plan, and the results so far."""
        return self._comparison

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop and has not yet."""
        return self.is_running and self._work is not None and self._work.is_stopping

    @property
    def report(self) -> Path | None:
        """The HTML report of what is shown; None where there is none yet."""
        if self._comparison is None:
            return None
        path = self._comparison.folder / REPORT
        return path if path.is_file() else None

    # running

    def begin(
        self,
        images: tuple[LabelledImage, ...],
        plan: ComparisonPlan,
        folder: Path,
        sources: Mapping[str, str],
    ) -> None:
        """Compare in a new folder, or continue in that of an earlier comparison."""
        if self.is_running:
            return
        if self._comparison is None or self._comparison.folder != folder:
            self._comparison = None
        self._images, self._held_out, self._sources = images, None, dict(sources)
        self._start(images, plan, folder)

    def go_on(self) -> None:
        """Train what is missing, with the images and labels that the comparison was begun with.

        Raises
        ------
        RunError
            When an image is not open any more, or has changed.
        """
        if self.is_running or self._comparison is None:
            return
        record = self._comparison.record
        self._sources = {each.name: each.source for each in record.images if each.source}
        self._start(self.images(), record.plan, self._comparison.folder)

    def _start(self, images: tuple[LabelledImage, ...], plan: ComparisonPlan, folder: Path) -> None:
        self.trouble = ""
        engine, sources = self._session.engine, self._sources

        def compare(
            stopped: Callable[[], bool], say: Callable[[ComparisonReport], None]
        ) -> tuple[Comparison, HeldOut]:
            held_out = hold_out(images, plan)
            comparison = run_comparison(
                images,
                plan,
                folder,
                engine=engine,
                on_report=say,
                stopped=stopped,
                sources=sources,
            )
            return comparison, held_out

        self._run_changed(True)
        self._work = run_in_thread(compare, self._end, self._fail, partial(self._on_said, folder))

    def stop(self) -> None:
        """Break off after the current epoch; what is done stays."""
        if self._work is not None and self.is_running:
            self._work.stop()
            self.changed.emit()

    def _on_said(self, folder: Path, said: ComparisonReport) -> None:
        if self._is_closed:
            return
        if self._comparison is None or said.contestant is None or said.result is not None:
            self._comparison = read_comparison(folder)
            self.changed.emit()
        self.reported.emit(said)

    def _end(self, outcome: tuple[Comparison, HeldOut]) -> None:
        if self._is_closed:
            return
        self._comparison, self._held_out = outcome
        comparison = self._comparison
        self._run_changed(False)
        if comparison.results:
            self.write_report()

    def _fail(self, words: str) -> None:
        if self._is_closed:
            return
        self.trouble = words
        self._run_changed(False)

    def _run_changed(self, is_running: bool) -> None:
        self.is_running = is_running
        self._session.note(is_comparing=is_running)
        self.changed.emit()

    # what is on disk

    def open(self, folder: Path) -> None:
        """Show an earlier comparison.

        Raises
        ------
        RunError
            When the folder holds none, or it is damaged.
        """
        if self.is_running:
            return
        self._comparison = read_comparison(folder)
        self._images = self._held_out = None
        self.trouble = ""
        self.changed.emit()

    def images(self) -> tuple[LabelledImage, ...]:
        """Return the images and labels that the comparison shown was begun with.

        Raises
        ------
        RunError
            When they are not found: the sentence says which one to open.
        """
        if self._images is None and self._comparison is not None:
            self._images = recall_images(self._comparison, self._offer)
        return self._images or ()

    def held_out(self) -> HeldOut:
        """Return what the comparison shown trains on and scores; raises as `images` does."""
        if self._held_out is None:
            assert self._comparison is not None
            self._held_out = hold_out(self.images(), self._comparison.record.plan)
        return self._held_out

    def _offer(self, entry: ImageEntry) -> Iterator[NDArray[Any]]:
        for image in self._session.images:
            shape = image_shape(image)
            for frame in range(shape[0] if len(shape) == 3 else 1):
                if frame_name(image, frame) == entry.name:
                    yield frame_pixels(image, frame)
                    if not image.rgb and not image.multiscale:
                        # as the command line has them
                        yield np.asarray(image.data[frame] if len(shape) == 3 else image.data)

    def write_report(self) -> None:
        """Write tables, figures and report into the comparison's folder; a worker draws them."""
        comparison = self._comparison
        if comparison is None or not comparison.results:
            return
        scored = () if self._held_out is None else self._held_out.scored
        self._session.submit(
            report_on,
            comparison,
            scored,
            name=f"report of {comparison.folder.name}",
            on_done=self._report_done,
            on_failed=self._report_failed,
        )

    def _report_done(self, path: Path) -> None:
        self.report_written.emit(path)

    def _report_failed(self, words: str) -> None:
        self.trouble = words
        self.report_written.emit(None)

    def _close(self) -> None:
        self._is_closed = True
        if self._work is not None:
            self._work.stop()
