"""Text in the docks: what comes from files shows as it is written and is never taken for markup.

Left to itself Qt guesses: a label or a tooltip whose text looks like HTML is drawn as HTML, and a
picture that it names is opened, whatever that is. Names of images, classes and runs, metadata and
records are anybody's.
"""

from html import escape
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

__all__ = [
    "Markup",
    "PlainLabel",
    "RichLabel",
    "facts",
    "markup",
    "plain_tip",
    "set_tip",
]

_LONGEST_TIP = 2000
"""Letters; a window of more covers the screen."""


class Markup(str):
    """Rich text that `markup` made: what came from elsewhere is escaped in it."""

    __slots__ = ()


def markup(template: str, *values: object) -> Markup:
    """Return rich text of our own with values put in for each ``{}``.

    Values are escaped, line breaks kept, except those that are `Markup` already.
    """
    return Markup(template.format(*map(_escaped, values)))


def _escaped(value: object) -> str:
    if isinstance(value, Markup):
        return value
    return escape(str(value)).replace("\n", "<br>")


def facts(lines: list[tuple[str, object]]) -> Markup:
    """Return a table of rich text: a name and what is said of it in each line."""
    rows = "".join(
        markup('<tr><td style="padding-right: 8px;">{}</td><td>{}</td></tr>', name, said)
        for name, said in lines
    )
    return Markup(f'<table cellspacing="0" cellpadding="1">{rows}</table>')


class PlainLabel(QLabel):
    """A label that shows its text as it is written."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText(text)


class RichLabel(QLabel):
    """A wrapped label of rich text, which only `markup` makes."""

    def __init__(self, text: Markup = Markup()) -> None:  # noqa: B008 - it never changes
        super().__init__()
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setStyleSheet("background: transparent;")
        self.show_markup(text)

    def show_markup(self, text: Markup) -> None:
        """Show rich text."""
        self.setText(text)


def plain_tip(text: str) -> str:
    """Return what a tooltip must be given so that it shows a text as it is written."""
    if len(text) > _LONGEST_TIP:
        text = f"{text[:_LONGEST_TIP]}…"
    if "<" not in text and "&" not in text:
        return text
    return markup("<qt>{}</qt>", text)


def set_tip(part: Any, text: str) -> None:
    """Give a widget, or an item of a table or list, a tooltip: plain text, or `Markup`."""
    part.setToolTip(text if isinstance(text, Markup) else plain_tip(text))
