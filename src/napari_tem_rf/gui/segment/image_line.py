"""The line of the current image: a click on its name opens the list, the arrows go on to others."""

from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QCheckBox, QMenu, QSizePolicy, QToolButton, QWidget
from superqt.utils import signals_blocked

from napari_tem_rf.gui.pieces.parts import Sentence, column, row
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.gui.session.current_image import CurrentImage
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation

_THUMBNAIL_PX = 32
_ROOM_PX = 24
"""What the button takes beside thumbnail and text."""
_LONGEST_NAME = 80


class ImageLine(QWidget):
    """Says which image is worked on, and chooses another.

    Parameters
    ----------
    session : Session
    beside : QWidget
        What stands at the end of the line.
    """

    def __init__(self, session: Session, beside: QWidget) -> None:
        super().__init__()
        self.session = session
        self.current = session.part(CurrentImage)
        self._heard: Image | None = None
        self._text = ""
        self.before_button = _arrow(Qt.ArrowType.LeftArrow, "The image before")
        self.before_button.clicked.connect(partial(self._step, -1))
        self.after_button = _arrow(Qt.ArrowType.RightArrow, "The next image")
        self.after_button.clicked.connect(partial(self._step, 1))
        self.name_button = QToolButton()
        self.name_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.name_button.setIconSize(QSize(_THUMBNAIL_PX, _THUMBNAIL_PX))
        self.name_button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.name_button.setMinimumWidth(80)
        self.name_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        # Qt draws it in the corner below the text
        self.name_button.setStyleSheet(
            "QToolButton::menu-indicator { subcontrol-position: right center; }"
        )
        self.menu = QMenu(self.name_button)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.name_button.setMenu(self.menu)
        self.painted = Sentence(tone="quiet")
        self.side_by_side = QCheckBox("all side by side")
        self.side_by_side.setToolTip(
            "Show all images at once, each with its strokes and predictions.\n"
            "Without the tick only the chosen one is shown; what you hide of it stays hidden."
        )
        self.side_by_side.toggled.connect(self._switch)
        column(
            self,
            [
                row(self.before_button, self.name_button, self.after_button, beside, stretch=1),
                row(self.painted, self.side_by_side, stretch=0),
            ],
            spacing=2,
        )
        session.watch(
            self,
            lambda now: (now.choices, now.scene.images, now.scene.annotated, now.scene.frame),
            self._show,
        )
        self._show(session.situation)

    # showing

    def _show(self, now: Situation) -> None:
        image, images = now.choices.image, now.scene.images
        self._listen(image)
        for part in (self.before_button, self.after_button, self.side_by_side):
            part.setVisible(len(images) > 1)
        self.name_button.setEnabled(image is not None)
        with signals_blocked(self.side_by_side):
            self.side_by_side.setChecked(now.choices.side_by_side)
        if image is None:
            self._text = "no image: open one, or drop it here"
            self.painted.say("")
        else:
            place = images.index(image) + 1
            self._text = image.name + (f" ({place} of {len(images)})" if len(images) > 1 else "")
            frame = now.scene.frame + 1
            where = f"frame {frame:,} of {now.scene.frames:,}, " if now.scene.frames > 1 else ""
            self.painted.say(f"{where}{painted_px(now, image):,} px painted", "quiet")
        set_tip(self.name_button, self._text if image is None else image.name)
        self._show_thumbnail()
        self._cut()

    def _listen(self, image: Image | None) -> None:
        if image is not self._heard:
            if self._heard is not None:
                self._heard.events.thumbnail.disconnect(self._show_thumbnail)
            if image is not None:
                image.events.thumbnail.connect(self._show_thumbnail)
            self._heard = image

    def _show_thumbnail(self, _event: object = None) -> None:
        image = self.session.image
        self.name_button.setIcon(QIcon() if image is None else _thumbnail(image))

    def _cut(self) -> None:
        """Show the name with dots in its middle where there is no room for it."""
        room = self.name_button.width() - _THUMBNAIL_PX - _ROOM_PX
        name, bracket, number = self._text.rpartition(" (")
        if not bracket:
            name, number = number, ""
        letters = self.name_button.fontMetrics()
        left = room - letters.horizontalAdvance(bracket + number)
        short = letters.elidedText(name[:_LONGEST_NAME], Qt.TextElideMode.ElideMiddle, left)
        self.name_button.setText(_plain(short + bracket + number))

    def resizeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Cut the name anew."""
        super().resizeEvent(event)
        self._cut()

    def showEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Cut the name anew."""
        super().showEvent(event)
        self._cut()

    def _fill_menu(self) -> None:
        now = self.session.refresh()
        self.menu.clear()
        for image in now.scene.images:
            painted = painted_px(now, image)
            words = f"{image.name[:_LONGEST_NAME]}" + (f"   {painted:,} px painted" * bool(painted))
            action = self.menu.addAction(_thumbnail(image), _plain(words))
            action.setCheckable(True)
            action.setChecked(image is now.choices.image)
            action.triggered.connect(partial(self._choose, image))

    # doing

    def _choose(self, image: Image, _checked: bool = False) -> None:
        if image in self.session.images:
            self.current.choose(image)

    def _step(self, by: int, _checked: bool = False) -> None:
        self.current.step(by)

    def _switch(self, on: bool) -> None:
        self.session.choose(side_by_side=on)


def painted_px(now: Situation, image: Image) -> int:
    """Return how many pixels of an image are painted; zeros that mean background are not."""
    first = 1 if now.choices.unlabelled == "background" else 0
    return sum(sum(each.pixels[first:]) for each in now.scene.annotated if each.pair.image is image)


def _plain(text: str) -> str:
    """Return a text for a button or menu, where an ampersand would underline a letter."""
    return text.replace("&", "&&").replace("\n", " ")


def _arrow(kind: Qt.ArrowType, tip: str) -> QToolButton:
    button = QToolButton()
    button.setArrowType(kind)
    set_tip(button, tip)
    button.setAccessibleName(tip)
    return button


def _thumbnail(image: Image) -> QIcon:
    pixels = np.ascontiguousarray(image.thumbnail, np.uint8)  # (row, column, RGBA)
    rows, columns = pixels.shape[:2]
    shown = QImage(pixels.data, columns, rows, 4 * columns, QImage.Format.Format_RGBA8888)
    return QIcon(QPixmap.fromImage(shown.copy()))
