"""A short tour of the main dock: a few sentences, one after another, that point at its parts.

It is offered once, to somebody who has not used the program on this computer, in the dock and not
over it; either answer is remembered. Afterwards it is in napari's Help menu, in the command palette
and at the end of the dock.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import napari
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QAction, QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QFrame, QPushButton, QWidget

from napari_tem_rf.figures.palette import SKY
from napari_tem_rf.gui.pieces.parts import PrimaryButton, Sentence, column, row
from napari_tem_rf.gui.pieces.text import PlainLabel
from napari_tem_rf.settings import read_settings, remember, settings_file

__all__ = ["Tour", "TourStep", "is_new_here"]

HELP_TITLE = "Tour of TEM segmentation"

_LEAST_PX = 10
"""Height of what can be pointed at."""

_OFFER = "New here? A tour of a minute shows what is where."
_AGAIN = "The tour stays in napari's Help menu."


@dataclass(frozen=True, slots=True)
class TourStep:
    """One sentence or two of the tour, and what they point at.

    Attributes
    ----------
    title : str
    words : str
    target : callable
        Returns the widget that is pointed at.
    """

    title: str
    words: str
    target: Callable[[], QWidget]


def is_new_here() -> bool:
    """Return whether the program was not used on this computer: no settings, no runs, no tour."""
    settings = read_settings()
    used = settings_file().exists() or settings.runs_path.exists()
    return not settings.tour and not used


class Tour(QFrame):
    """The card with the words of a step; hidden while there is no tour.

    Parameters
    ----------
    steps : list of TourStep
        Where it leads.
    show : callable
        Brings a widget into sight.
    """

    def __init__(self, steps: list[TourStep], show: Callable[[QWidget], None]) -> None:
        super().__init__()
        self.steps = steps
        self.place: int | None = None
        self._bring_into_sight = show
        self._outline = _Outline()
        self.setObjectName("tour")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.title = PlainLabel()
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        self.words = Sentence()
        self.next_button = PrimaryButton("Next")
        self.back_button = QPushButton("Back")
        self.end_button = QPushButton("End")
        self.next_button.clicked.connect(self._go_on)
        self.back_button.clicked.connect(self._go_back)
        self.end_button.clicked.connect(self.end)
        column(
            self,
            [
                self.title,
                self.words,
                row(self.next_button, self.back_button, self.end_button),
            ],
            spacing=4,
            margin=8,
        )
        self.hide()

    # the offer

    def offer(self) -> None:
        """Ask a newcomer whether to begin; whoever is not one is left alone."""
        if is_new_here():
            self.place = None
            self._say("Welcome", _OFFER, go_on="Show me", end="No, thanks", back=False)

    # the way

    def begin(self) -> None:
        """Begin with the first step."""
        self._go_to(0)

    def end(self) -> None:
        """End the tour, or decline it; it is not offered again."""
        self.place = None
        self._outline.leave()
        self.hide()
        # without a place for settings it is offered again: no reason to trouble anybody
        with suppress(OSError):
            remember(tour="seen")

    def _go_on(self) -> None:
        there = 0 if self.place is None else self.place + 1
        if there < len(self.steps):
            self._go_to(there)
        else:
            self.end()

    def _go_back(self) -> None:
        if self.place:
            self._go_to(self.place - 1)

    def _go_to(self, place: int) -> None:
        self.place = place
        step, last = self.steps[place], len(self.steps) - 1
        self._say(
            f"{step.title} ({place + 1} of {last + 1})",
            f"{step.words} {_AGAIN}" if place == last else step.words,
            go_on="Done" if place == last else "Next",
            end="" if place == last else "End",
            back=place > 0,
        )
        target = _in_sight(step.target(), self.parentWidget())
        self._bring_into_sight(target)
        self._outline.surround(target)

    def _say(self, title: str, words: str, *, go_on: str, end: str, back: bool) -> None:
        self.title.setText(title)
        self.words.say(words)
        self.next_button.setText(go_on)
        self.end_button.setText(end)
        self.end_button.setVisible(bool(end))
        self.back_button.setVisible(back)
        self.show()

    # napari's Help menu

    def enter_help_menu(self, viewer: "napari.viewer.Viewer") -> None:
        """Put the tour into the Help menu for as long as the dock lives.

        napari rebuilds its menus and takes what it does not know out of them.
        """
        menu = viewer.window.help_menu
        action = QAction(HELP_TITLE, self)
        action.triggered.connect(self._begin_in_sight)
        menu.aboutToShow.connect(partial(menu.addAction, action))
        menu.addAction(action)

    def _begin_in_sight(self) -> None:
        dock = self.parentWidget()
        while dock is not None and not dock.isWindow():
            dock.show()
            dock.raise_()
            dock = dock.parentWidget()
        self.begin()


class _Outline(QWidget):
    """A frame around a widget: drawn in it, moved and scrolled with it, deaf to the mouse."""

    def __init__(self) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def surround(self, target: QWidget) -> None:
        """Be drawn around a widget, and around no other."""
        self.leave()
        self.setParent(target)
        target.installEventFilter(self)
        self._fit()
        self.show()
        self.raise_()

    def leave(self) -> None:
        """Be drawn around nothing."""
        parent = self.parentWidget()
        if parent is not None:
            parent.removeEventFilter(self)
        self.hide()
        self.setParent(None)

    def _fit(self) -> None:
        parent = self.parentWidget()
        if parent is not None:
            self.setGeometry(parent.rect())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Follow the widget's size."""
        if event.type() == QEvent.Type.Resize:
            self._fit()
        return False

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw the frame."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(SKY), 3))
        painter.drawRoundedRect(self.rect().adjusted(2, 2, -2, -2), 4, 4)
        painter.end()


def _in_sight(target: QWidget, dock: Any) -> QWidget:
    """Return the widget, or what it is folded away in; what is empty so far is not seen either."""
    while target.parentWidget() not in (None, dock):
        if target.isVisibleTo(dock) and target.height() >= _LEAST_PX:
            break
        target = target.parentWidget()
    return target
