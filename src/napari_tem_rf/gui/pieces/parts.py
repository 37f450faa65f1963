"""The pieces that all dock widgets are made of."""

from collections.abc import Callable
from typing import Any, Literal
from weakref import WeakMethod

import napari
from napari.settings import get_settings
from napari.utils.theme import Theme, get_theme
from qtpy.QtCore import QPointF, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap, QPolygonF
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolTip,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible
from superqt.utils import signals_blocked

from napari_tem_rf.figures.palette import SKY
from napari_tem_rf.gui.pieces.docking import WheelScrolls, join_tabs
from napari_tem_rf.gui.pieces.lifetimes import when_gone
from napari_tem_rf.gui.pieces.text import PlainLabel, plain_tip, set_tip

DOCK_WIDTH = 380
"""Width in px that every dock must fit."""

DOCK_MARGIN = 8

_TEXT_MARGIN = 8
_LEAST_TAIL = 40
_WIDEST_LIST = 640
_ARROW_PX = 9
_NO_HEIGHT = 2**24 - 1
"""Qt's own word for no limit."""

Tone = Literal["plain", "quiet", "good", "advice", "warning", "error"]

_WIDE_PX = 100_000
"""No sentence is wrapped in so wide a dock."""

_SIGNS: dict[Tone, str] = {
    "plain": "",
    "quiet": "",
    "good": "✓ ",
    "advice": "",
    "warning": "⚠ ",
    "error": "✗ ",
}


def current_theme() -> Theme:
    """Return the theme of the viewer in use."""
    viewer = napari.current_viewer()
    return get_theme(get_settings().appearance.theme if viewer is None else viewer.theme)


def listen(widget: QWidget, signal: Any, function: Callable[..., None]) -> None:
    """Connect a psygnal or napari signal to a widget's function for as long as the widget lives."""
    # a slot of Qt's own has no signature that psygnal could read
    is_method = hasattr(function, "__func__")
    slot = function if is_method else lambda *values: function(*values)
    signal.connect(slot)
    held: Callable[[], Callable[..., None] | None] = WeakMethod(slot) if is_method else lambda: slot

    def forget() -> None:
        connected = held()
        if connected is None:
            return
        try:
            signal.disconnect(connected)
        except (ValueError, TypeError, KeyError, RuntimeError):
            # the signal's owner is gone already, or another listener that it is compared with
            return

    when_gone(widget, forget)


class Sentence(PlainLabel):
    """One line of words to the user, plain and wrapped; hidden while it says nothing.

    The tone shows in a sign before the words, not by colour alone.

    Parameters
    ----------
    text : str, optional
    tone : {"plain", "quiet", "good", "advice", "warning", "error"}, optional
    parent : QWidget, optional
    lines : int, optional
        Lines whose room is kept while it says anything: what stands below words that change by
        themselves must not move away under the pointer.
    """

    def __init__(
        self,
        text: str = "",
        tone: Tone = "plain",
        parent: QWidget | None = None,
        lines: int = 1,
    ) -> None:
        super().__init__(parent=parent)
        self._lines = lines
        self.setWordWrap(True)
        if lines > 1:
            self.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.say(text, tone)
        self._tone: Tone = tone

    def say(self, text: str, tone: Tone = "plain") -> None:
        """Show a sentence in a tone; an empty one hides the line."""
        self._tone = tone
        self.setText(f"{_SIGNS[tone]}{text}" if text else "")
        self.setVisible(bool(text))
        self._paint()
        self._keep_room()

    def _keep_room(self) -> None:
        if self._lines == 1 or not self.text():
            return
        self.setMinimumHeight(0)  # else it counts below
        one, all_of_them = (
            self.fontMetrics().boundingRect(QRect(), 0, "\n".join("x" * lines)).height()
            for lines in (1, self._lines)
        )
        around = self.heightForWidth(_WIDE_PX) - one  # what the style adds to a line of words
        self.setMinimumHeight(all_of_them + around)

    def _paint(self) -> None:
        theme = current_theme()
        dark = theme.type == "dark"
        colors = {
            "plain": theme.text.as_hex(),
            "quiet": _mixed(theme.text.as_hex(), theme.background.as_hex(), 0.25),
            "good": SKY if dark else "#005a8c",
            "advice": theme.text.as_hex(),
            "warning": "#f0b640" if dark else "#8a5a00",
            "error": "#ff9a7a" if dark else "#b02a00",
        }
        style = f"color: {colors[self._tone]}; background: transparent;"
        if style != self.styleSheet():
            self.setStyleSheet(style)

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme and the size of the font."""
        super().changeEvent(event)
        changes = (event.Type.StyleChange, event.Type.FontChange)
        if event.type() in changes and hasattr(self, "_tone"):
            self._paint()
            self._keep_room()


def _mixed(color: str, other: str, share: float) -> str:
    a, b = QColor(color), QColor(other)
    parts = zip(a.getRgb()[:3], b.getRgb()[:3], strict=True)
    return QColor(*(round(x * (1 - share) + y * share) for x, y in parts)).name()


class Fold(QCollapsible):
    """A line to click that shows or hides what is below it."""

    def __init__(
        self, title: str, content: QWidget, *, is_open: bool = False, heading: bool = False
    ) -> None:
        super().__init__(title)
        spare = self.content()
        self.setContent(content)
        # else a frame takes a pixel at each side in napari's style
        self.setStyleSheet("Fold { padding: 0px; }")
        # superqt leaves its own empty content in the layout
        spare.setParent(None)
        spare.deleteLater()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        layout = self.layout()
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        # superqt's alignment to the top holds the height that the content wants without its width
        layout.setAlignment(Qt.AlignmentFlag(0))
        # each step of a moving section would draw the canvas beside it
        self.setDuration(0)
        self._button = self.toggleButton()
        self._button.setIconSize(QSize(_ARROW_PX, _ARROW_PX))
        self._button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        weight = "font-weight: bold;" if heading else ""
        self._button.setStyleSheet(
            "QPushButton, QPushButton:hover, QPushButton:checked, QPushButton:pressed {"
            " background: transparent; border: none; text-align: left; padding: 3px 2px;"
            f" {weight} }}"
            "QPushButton:focus { text-decoration: underline; }"
        )
        self._arrows()
        self.toggled.connect(self._settle)
        self.expand(animate=False) if is_open else self.collapse(animate=False)

    @property
    def is_open(self) -> bool:
        """Whether the content shows."""
        return bool(self.isExpanded())

    def set_title(self, title: str) -> None:
        """Change the line's words."""
        self.setText(title)

    def open(self) -> None:
        """Show the content."""
        self.expand(animate=False)

    def _settle(self, is_open: bool) -> None:
        # superqt fixes the height that the content wants now: sentences and curves come later
        self.content().setMaximumHeight(_NO_HEIGHT)
        self.content().setVisible(is_open)

    def _arrows(self) -> None:
        """Draw the arrows in the theme's colour of text."""
        color = current_theme().text.as_hex()
        if color != getattr(self, "_arrow_color", None):
            self._arrow_color = color
            self.setExpandedIcon(_arrow(color, down=True))
            self.setCollapsedIcon(_arrow(color, down=False))

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == event.Type.StyleChange and hasattr(self, "_arrow_color"):
            self._arrows()


def _arrow(color: str, *, down: bool, side: int = _ARROW_PX) -> QIcon:
    """Return a triangle that points down or to the right."""
    picture = QPixmap(2 * side, 2 * side)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(color))
    across = ((0.15, 0.3), (0.85, 0.3), (0.5, 0.75))
    corners = across if down else tuple((y, x) for x, y in across)
    painter.drawPolygon(QPolygonF([QPointF(2 * side * x, 2 * side * y) for x, y in corners]))
    painter.end()
    return QIcon(picture)


class Dock(QScrollArea):
    """The frame of a dock: as wide as it must be, scrolling up and down, never sideways.

    Signals
    -------
    shown(bool)
        It was opened, or closed; one that is a tab behind another counts as open.
    """

    shown = Signal(bool)

    def __init__(self, content: QWidget | None = None) -> None:
        super().__init__()
        self._is_settled = False
        self._wheel = WheelScrolls(self)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(DOCK_WIDTH)
        if content is not None:
            holder = QWidget()
            column(holder, [content], margin=DOCK_MARGIN).addStretch(1)
            self.setWidget(holder)

    def showEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Join the docks that are there, at first."""
        super().showEvent(event)
        if event.spontaneous():  # the window was minimised and comes back
            return
        if not self._is_settled:
            self._is_settled = True
            join_tabs(self, Dock)
        self.shown.emit(True)

    def hideEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Say that it was closed."""
        super().hideEvent(event)
        if not event.spontaneous():
            self.shown.emit(False)


def column(widget: QWidget, parts: list[Any], *, spacing: int = 6, margin: int = 0) -> QVBoxLayout:
    """Lay widgets (or layouts) of a widget out from top to bottom."""
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(spacing)
    for part in parts:
        layout.addWidget(part) if isinstance(part, QWidget) else layout.addLayout(part)
    return layout


def row(*parts: Any, stretch: int | None = None) -> QHBoxLayout:
    """Lay widgets (or layouts) out from left to right; ``stretch``: which takes the room left."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    for place, part in enumerate(parts):
        share = 1 if place == stretch else 0
        if isinstance(part, QWidget):
            layout.addWidget(part, share)
        else:
            layout.addLayout(part, share)
    if stretch is None:
        layout.addStretch(1)
    return layout


def form(widget: QWidget) -> QFormLayout:
    """Lay a widget out as a form: names at the left, values at the right."""
    layout = QFormLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return layout


def swatch(color: str, side: int = 14) -> QIcon:
    """Return a square of a colour as an icon."""
    picture = QPixmap(side, side)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.fillRect(0, 0, side, side, QColor(color))
    painter.setPen(QColor(128, 128, 128))
    painter.drawRect(0, 0, side - 1, side - 1)
    painter.end()
    return QIcon(picture)


class Choice(QComboBox):
    """A choice among names that may be long: they are cut in the middle, not the dock widened.

    The list that opens is as wide as its names, and the tooltip has the whole of a name that is
    cut.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        # an explicit least width: long names, or long words for "none", must not widen the dock
        self.setMinimumWidth(80)
        self.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)

    @property
    def shown_text(self) -> str:
        """The name as it is drawn: with dots in its middle where there is no room for it."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        place = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            self,
        )
        return self._cut(option.currentText, place.width() - _TEXT_MARGIN)

    def _cut(self, text: str, room: int) -> str:
        """Cut a name in its middle, or what stands in brackets at its end if that is enough."""
        letters = self.fontMetrics()
        head, bracket, tail = text.rpartition(" (")
        left = room - letters.horizontalAdvance(head + bracket)
        is_enough = bool(bracket) and left >= _LEAST_TAIL
        cut = tail if is_enough else text
        short: str = letters.elidedText(
            cut, Qt.TextElideMode.ElideMiddle, left if is_enough else room
        )
        return head + bracket + short if is_enough else short

    def paintEvent(self, _event: Any) -> None:  # noqa: N802 - Qt's name
        """Draw the name with dots in its middle: at both ends it says what matters."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = self.shown_text
        painter = QStylePainter(self)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def event(self, event: Any) -> bool:
        """Put the whole name before the tooltip where it is cut."""
        name, tip = self.currentText(), self.toolTip()
        is_asked = event.type() == event.Type.ToolTip
        if is_asked and name != self.shown_text and plain_tip(name) not in tip:
            words = plain_tip("\n\n".join(filter(None, (name, tip))))
            QToolTip.showText(event.globalPos(), words, self)
            return True
        return bool(super().event(event))

    def showPopup(self) -> None:  # noqa: N802 - Qt's name
        """Open a list that is as wide as its names."""
        wide = self.view().sizeHintForColumn(0) + 2 * _TEXT_MARGIN
        self.view().setMinimumWidth(min(wide, _WIDEST_LIST))
        super().showPopup()


class LayerChoice(Choice):
    """A choice among layers, by name."""

    def __init__(self, empty: str) -> None:
        super().__init__()
        self._empty = empty
        self._layers: list[Any] = []
        self._on_chosen: Callable[[Any], None] | None = None
        self.activated.connect(self._choose)

    def on_chosen(self, function: Callable[[Any], None]) -> None:
        """Call a function with the layer that the user chooses."""
        self._on_chosen = function

    def show_layers(self, layers: list[Any], chosen: Any) -> None:
        """Show the layers to choose from, and the one chosen."""
        self._layers = list(layers)
        with signals_blocked(self):
            self.clear()
            self.addItems([layer.name for layer in layers] or [self._empty])
            if chosen in layers:
                self.setCurrentIndex(layers.index(chosen))
            elif layers:
                self.setCurrentIndex(-1)
                self.setPlaceholderText(self._empty)
        set_tip(self, chosen.name if chosen is not None else self._empty)

    def chosen(self) -> Any:
        """Return the layer that is shown as chosen; None without one."""
        place = self.currentIndex()
        return self._layers[place] if 0 <= place < len(self._layers) else None

    def _choose(self, place: int) -> None:
        if self._on_chosen is not None and 0 <= place < len(self._layers):
            self._on_chosen(self._layers[place])


class Themed:
    """A Qt widget whose style sheet follows napari's theme; named before the widget's class."""

    def style_of(self, theme: Theme) -> str:
        """Return the style sheet in the colours of a theme."""
        raise NotImplementedError

    def dress(self) -> None:
        """Take the style of the theme in use; a style that stays is not set again."""
        style = self.style_of(current_theme())
        widget: Any = self
        if style != widget.styleSheet():
            widget.setStyleSheet(style)

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        super().changeEvent(event)  # type: ignore[misc]  # the widget's class has it
        if event.type() == event.Type.StyleChange:
            self.dress()


class PrimaryButton(Themed, QPushButton):
    """The button that the eye finds first, in the theme's own colour of what is current."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setMinimumWidth(84)
        self.dress()

    def style_of(self, theme: Theme) -> str:
        """Return the style sheet in the colours of a theme."""
        return (
            f"QPushButton:enabled {{ background-color: {theme.current.as_hex()};"
            f" color: {theme.text.as_hex()}; font-weight: bold; }}"
            f"QPushButton:enabled:hover {{ background-color: {theme.highlight.as_hex()}; }}"
        )


def sentence(words: str) -> str:
    """Return words with a capital at the start and a stop at the end."""
    return f"{words[:1].upper()}{words[1:].rstrip('.')}." if words else ""


def time_left(seconds: float) -> str:
    """Return a time in words: ``12 s left``, ``3 min left``."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s left"
    if seconds < 5400:
        return f"{round(seconds / 60)} min left"
    return f"{seconds / 3600:.1f} h left"
