"""One line at the top of the dock: what was done on these images before, and its way back."""

from collections.abc import Sequence
from pathlib import Path

import napari
from qtpy.QtWidgets import QPushButton, QWidget

from napari_tem_rf.gui.pieces.parts import PrimaryButton, Sentence, column, listen, row
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.last_time import FoundWork, LastTime
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

__all__ = ["LastTimeWidget", "found_in_words"]

_MOST_FOLDERS = 5


class LastTimeWidget(QWidget):
    """Offers what was done the last time that the images were open; hidden where nothing was.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self.last_time = self.session.part(LastTime)
        self.words = Sentence()
        self.continue_button = PrimaryButton("Continue")
        self.continue_button.setToolTip(
            "Put strokes, class names, pixel size, network and runs back as they were"
        )
        self.continue_button.clicked.connect(self._continue)
        self.fresh_button = QPushButton("Start fresh")
        self.fresh_button.setToolTip(
            "Begin anew; nothing is deleted, and it can be brought back afterwards"
        )
        self.fresh_button.clicked.connect(self._start_fresh)
        self.back_button = QPushButton("Bring it back")
        self.back_button.setToolTip("Put what was done the last time back after all")
        self.back_button.clicked.connect(self._continue)
        column(
            self,
            [self.words, row(self.continue_button, self.fresh_button, self.back_button)],
            spacing=4,
        )
        listen(self, self.last_time.changed, self._show)
        self.session.watch(
            self, lambda now: (now.choices.spec, now.scene.images), self._on_situation
        )
        self.session.watch(self, lambda now: now.activity.training, self._on_training)
        self._show()

    def _on_situation(self, _now: Situation) -> None:
        if not self.last_time.answer:
            self._show()

    def _on_training(self, now: Situation) -> None:
        """Make room: who trains has gone on."""
        if now.activity.training is not None and self.last_time.answer:
            self.hide()

    def _show(self) -> None:
        found, declined = self.last_time.found, self.last_time.declined
        is_asking = bool(found)
        is_fresh = not is_asking and self.last_time.answer == "fresh" and bool(declined)
        for button in (self.continue_button, self.fresh_button):
            button.setVisible(is_asking)
        self.back_button.setVisible(is_fresh)
        self.setVisible(is_asking or is_fresh)
        if is_asking:
            self.words.say(f"Last time: {found_in_words(found, self._picked)}")
            set_tip(self.words, _where(found))
        elif is_fresh:
            self.words.say(
                "Started fresh; what was done the last time stays in its files.", "quiet"
            )
            set_tip(self.words, _where(declined))

    @property
    def _picked(self) -> NetworkSpec:
        return self.session.spec

    def _continue(self) -> None:
        found = self.last_time.found or self.last_time.declined
        what = found_in_words(found, self._picked)
        has_runs = any(each.runs for each in found)
        trouble = self.last_time.bring_back()
        self.setVisible(True)
        if trouble:
            self.words.say(trouble, "error")
        else:
            then = " Predict all shows the masks." if has_runs else ""
            self.words.say(f"As last time: {what}.{then}", "quiet")

    def _start_fresh(self) -> None:
        self.last_time.start_fresh()


def found_in_words(found: Sequence[FoundWork], picked: NetworkSpec) -> str:
    """Return what was found, in a line: strokes, runs or a network that is not picked, size."""
    parts = []
    painted = [each for each in found if each.strokes_px]
    if painted:
        pixels = sum(each.strokes_px for each in painted)
        where = f" on {len(painted)} images" if len(painted) > 1 else ""
        parts.append(f"strokes {pixels:,} px{where}")
    runs = list({run.folder: run for each in found for run in each.runs}.values())
    if runs:
        parts.append(_runs_in_words(runs))
    elif any(each.spec not in (None, picked) for each in found):
        parts.append("your network")
    names = {each.memory.classes.names for each in found if each.memory and each.memory.classes}
    if len(names) == 1 and not painted:
        parts.append(f"classes {', '.join(names.pop())}")
    sizes = {each.pixel_size_nm for each in found if each.pixel_size_nm is not None}
    if len(sizes) == 1:
        (size,) = sizes
        rows, columns = (f"{side:.4g}" for side in size)
        parts.append(f"{rows if rows == columns else f'{rows} x {columns}'} nm/px")
    elif sizes:
        parts.append("pixel sizes")
    return ", ".join(parts)


def _runs_in_words(runs: Sequence[TrainedRun]) -> str:
    last = runs[-1]
    size = f"{nominal_receptive_field(last.spec)} px" if last.spec else last.what
    what = f"{size}, {len(last.record.classes.values)} classes"
    if len(runs) == 1:
        return f"a run ({what})"
    return f"{len(runs)} runs (the last: {what})"


def _where(found: Sequence[FoundWork]) -> str:
    """Return in which files it is."""
    paths: dict[Path, None] = {}
    for each in found:
        paths |= dict.fromkeys(run.folder for run in each.runs)
        if each.strokes is not None:
            paths[each.strokes.path] = None
    shown = [str(path) for path in paths][:_MOST_FOLDERS]
    rest = len(paths) - len(shown)
    more = [f"and {rest} more"] if rest > 0 else []
    return "\n".join(["It is kept in", *shown, *more]) if shown else ""
