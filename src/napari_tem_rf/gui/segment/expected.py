"""How good the prediction in view is expected to be, and which image to annotate next."""

from collections.abc import Sequence

import napari
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

from napari_tem_rf.figures.palette import GREEN, ORANGE, VERMILLION
from napari_tem_rf.gui.layers.layers import image_shape
from napari_tem_rf.gui.pieces.parts import Fold, Sentence, column, listen, row, sentence
from napari_tem_rf.gui.pieces.text import PlainLabel, set_tip
from napari_tem_rf.gui.session.expectations import Expectations, ExpectedFrame
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.measuring.expected_dice import ExpectedDice, Trust

__all__ = ["ExpectedWidget", "next_words"]

_COLORS: dict[Trust, str] = {
    "good": GREEN,
    "doubtful": ORANGE,
    "bad": VERMILLION,
    "unknown": "#909090",
}
_WORDS: dict[Trust, str] = {
    "good": "about as good as in training",
    "doubtful": "worse than in training",
    "bad": "of little use",
    "unknown": "not known",
}
_LITTLE_WORSE = "not much worse than in training"
_OUTDATED = " That was before the mask was finished in another way: predict it again to know."
_DOT_PX = 12
_ROWS = 6
_MOST_REASONS = 3
_WHAT = (
    "Dice that the mask is expected to have, and between what it lies in four of five cases.\n"
    "It is judged without a truth: by how far the image lies from those of the training, how sure\n"
    "the network is, and whether it says the same of the image turned and mirrored."
)


class ExpectedWidget(QWidget):
    """A dot and words for the prediction in view, and all predicted images, the worst first.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self.dot = PlainLabel()
        self.dot.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.dot.setContentsMargins(0, 3, 0, 0)
        self.words = Sentence()
        self.images = QListWidget()
        self.images.setIconSize(QSize(_DOT_PX, _DOT_PX))
        self.images.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.images.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.images.setToolTip("Click to look at an image. The first is the one to annotate next.")
        self.images.itemClicked.connect(self._go_to)
        # a fold lets its content grow: the list keeps its height in a widget of its own
        holder = QWidget()
        column(holder, [self.images])
        self.fold = Fold("Predicted images, the worst first", holder)
        column(self, [row(self.dot, self.words, stretch=1), self.fold], spacing=4)
        self._shown: list[ExpectedFrame] = []
        part = self.session.part(Expectations)
        listen(self, part.changed, self._show)
        self.session.watch(
            self,
            lambda now: (now.choices.image, now.choices.run, now.scene.frame),
            self._on_situation,
        )
        self._show()

    def _on_situation(self, now: Situation) -> None:
        self._show()

    def _show(self) -> None:
        run, part = self.session.run, self.session.part(Expectations)
        folder = None if run is None else run.folder
        self._say(part.of(self.session.image, self.session.frame, folder))
        self._list(part.worst_first(folder))
        self.setVisible(bool(self._shown) or self.words.isVisibleTo(self))

    def _say(self, frame: ExpectedFrame | None) -> None:
        self.dot.setVisible(frame is not None)
        if frame is None:
            self.words.say("")
            return
        expected = frame.expected
        self.dot.setPixmap(dot(expected.trust).pixmap(_DOT_PX, _DOT_PX))
        self.words.say(
            f"{expectation_in_words(expected)}{_OUTDATED if frame.is_outdated else ''}",
            "quiet" if expected.trust == "unknown" else "plain",
        )
        set_tip(self.words, tip(expected))
        set_tip(self.dot, tip(expected))

    def _list(self, frames: Sequence[ExpectedFrame]) -> None:
        self._shown = list(frames)
        self.fold.setVisible(len(frames) > 1)
        self.images.clear()
        for each in frames:
            found = each.expected
            item = QListWidgetItem(dot(found.trust), f"{each.name}: {found.number}")
            set_tip(item, tip(found))
            self.images.addItem(item)
        rows = min(max(len(frames), 1), _ROWS)
        letters = self.images.fontMetrics().lineSpacing()
        self.images.setFixedHeight(rows * (max(letters, _DOT_PX) + 2) + 8)

    def _go_to(self, item: QListWidgetItem) -> None:
        each = self._shown[self.images.row(item)]
        image = each.image()
        if image is None or image not in self.session.viewer.layers:
            return
        self.session.image = image
        shape = image_shape(image)
        if len(shape) == 3:
            world = image.data_to_world((each.frame, 0, 0))
            self.session.viewer.dims.set_point(0, world[0])


def expectation_in_words(expected: ExpectedDice) -> str:
    """Return what is expected, for a line: the number, what it means, and the first reasons."""
    if expected.dice is None and not expected.warns:
        return sentence(f"expected Dice not known: {expected.basis}")
    reasons = list(expected.reasons[:_MOST_REASONS])
    if expected.dice is None:
        reasons = [expected.basis, *reasons]
    is_good = expected.trust == "good"
    how = _LITTLE_WORSE if is_good and reasons else _WORDS[expected.trust]
    said = f"expected Dice {expected.number}, {how}"
    return sentence(f"{said}: {'; '.join(reasons)}" if reasons else said)


def tip(expected: ExpectedDice) -> str:
    """Return all that is known of it, for a tooltip."""
    lines = [sentence(each) for each in (*expected.reasons, expected.basis)]
    return "\n".join([_WHAT, "", *lines])


def next_words(frames: Sequence[ExpectedFrame]) -> str:
    """Return which of several predicted images to annotate next, as a sentence."""
    known = [each for each in frames if each.expected.trust in ("doubtful", "bad")]
    if len(frames) < 2 or not known:
        return ""
    number = "One is" if len(known) == 1 else f"{len(known):,} are"
    worst = known[0]
    return f"{number} expected to be worse than in training: annotate {worst.name} next."


def dot(trust: Trust) -> QIcon:
    """Return a dot in the colour of how far a mask is to be trusted."""
    picture = QPixmap(2 * _DOT_PX, 2 * _DOT_PX)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QColor(128, 128, 128))
    painter.setBrush(QColor(_COLORS[trust]))
    painter.drawEllipse(2, 2, 2 * _DOT_PX - 4, 2 * _DOT_PX - 4)
    painter.end()
    return QIcon(picture)
