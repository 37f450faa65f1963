"""The button that hands a run on: as one zip, as a model of the BioImage Model Zoo, as ONNX."""

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_tem_rf import jobs
from napari_tem_rf.gui.pieces.parts import Tone, sentence
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.status import Status
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.protocol import NoteReport, Report

__all__ = ["ShareButton"]


class ShareButton(QPushButton):
    """Shares the run that is chosen; the file dialog asks as what.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__("Share...")
        self.session = session_of(viewer)
        self._work: Any = None
        self._notes: list[str] = []
        self.setToolTip(
            "Write this run as one file: a zip that a colleague drops on the window, a model of\n"
            "the BioImage Model Zoo, or ONNX for other programs; the dialog asks which.\n"
            "No image and no annotation goes along."
        )
        self.clicked.connect(self._ask_file)
        self.session.watch(self, lambda now: now.choices.run, self._show)
        self._show(self.session.situation)

    def _show(self, now: Situation) -> None:
        self.setEnabled(now.choices.run is not None and self._work is None)

    def _ask_file(self) -> None:
        run = self.session.run
        if run is None:
            return
        by_filter: dict[str, jobs.SharedAs] = {
            f"{title} (*{ending})": each
            for each, (title, ending) in jobs.SHARED_AS.items()
            if run.record.is_network or each == "run"
        }
        folder = self.session.runs_folder if self.session.runs_folder.exists() else Path.home()
        path, chosen = QFileDialog.getSaveFileName(
            self, "Share the run", str(folder / f"{_name_of(run)}.zip"), ";;".join(by_filter)
        )
        if not path:
            return
        shared_as = by_filter.get(chosen, "run")
        out, ending = Path(path), jobs.SHARED_AS[shared_as][1]
        # the dialog has asked about a file of the name that was typed, and of no other
        overwrite = out.is_file()
        if out.suffix != Path(ending).suffix or not out.name.endswith(ending):
            out = out.with_name(out.name.removesuffix(".zip").removesuffix(".onnx") + ending)
            overwrite = overwrite and out == Path(path)
        self.share_to(out, shared_as, overwrite=overwrite)

    def share_to(self, out: Path, shared_as: jobs.SharedAs, *, overwrite: bool = False) -> None:
        """Write the chosen run to a file in the background."""
        run = self.session.run
        if run is None or self._work is not None:
            return
        request = jobs.ShareRequest(
            run=run.folder, shared_as=shared_as, out=out, overwrite=overwrite
        )
        self._notes = []
        self._say(f"Writing {out.name}...", "quiet")
        self._work = self.session.submit(
            jobs.share_run,
            request,
            name=f"sharing {run.folder.name}",
            on_report=self._on_report,
            on_done=self._on_shared,
            on_failed=lambda trouble: self._end(sentence(trouble), "error"),
        )
        self._show(self.session.situation)

    def _on_report(self, report: Report) -> None:
        if isinstance(report, NoteReport):
            self._notes.append(sentence(report.sentence))

    def _on_shared(self, out: Path) -> None:
        self._end(" ".join([f"Written {out}.", *self._notes]), "good")

    def _end(self, words: str, tone: Tone) -> None:
        self._work = None
        self._say(words, tone)
        self._show(self.session.situation)

    def _say(self, words: str, tone: Tone) -> None:
        self.session.part(Status).say(words, tone)


def _name_of(run: TrainedRun) -> str:
    """Return a file name: folders of the window's runs are dates, their parents' names images."""
    folder = run.folder
    name = f"{folder.parent.name}_{folder.name}" if folder.name[:2].isdigit() else folder.name
    return name.replace(" ", "_")
