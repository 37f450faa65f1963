"""Forms of a plan's settings, made by magicgui from the description on its fields."""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import ceil, log10
from typing import Any

from magicgui.widgets import create_widget
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget
from superqt.utils import signals_blocked

from napari_tem_rf.describing import Setting, settings_of
from napari_tem_rf.gui.pieces.parts import form, row
from napari_tem_rf.gui.pieces.text import PlainLabel, plain_tip, set_tip

__all__ = ["Form", "tip_of"]

_NO_END = 999_999
_TIP_LETTERS = 80
_COMBO_WIDTH = 96
_TYPES: dict[str, type] = {"bool": bool, "float": float, "int": int, "text": str}


class Form(QWidget):
    """Shows a frozen plan, a line for each setting, and emits the changed one.

    Signals
    -------
    changed(plan)
        The user changed something; the plan is a new one.

    Parameters
    ----------
    plan : dataclass
        The plan to show first.
    leave_out : collection of str
        Fields that are shown in another way.
    beside : mapping
        Widgets that stand behind a field's own, by field.
    titled : bool
        Whether the fields' titles stand before them.
    """

    changed = Signal(object)

    def __init__(
        self,
        plan: Any,
        *,
        leave_out: Collection[str] = (),
        beside: Mapping[str, Sequence[QWidget]] | None = None,
        titled: bool = True,
    ) -> None:
        super().__init__()
        self._plan = plan
        self._lines = form(self)
        self._fields = {
            setting.name: _Field(setting, titled=titled)
            for setting in settings_of(type(plan), leave_out=leave_out)
        }
        for name, field in self._fields.items():
            more = (beside or {}).get(name, ())
            part: Any = row(field.box, *more, stretch=None if more else 0) if more else field.box
            if field.title is None:
                self._lines.addRow(part)
            else:
                self._lines.addRow(field.title, part)
            if field.setting.kind == "text" and field.setting.choices is None:
                field.box.editingFinished.connect(self._take)
            else:
                field.widget.changed.connect(self._take)
        self.show_plan(plan)

    @property
    def plan(self) -> Any:
        """The plan that is shown."""
        return self._plan

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that the form shows."""
        return tuple(self._fields)

    def box(self, name: str) -> Any:
        """Return the Qt widget of a field."""
        return self._fields[name].box

    def add_line(self, title: str, part: Any) -> None:
        """Add a line that is not of the plan: a widget or a layout."""
        self._lines.addRow(title, part)

    def show_plan(self, plan: Any) -> None:
        """Show a plan; nothing is emitted."""
        self._plan = plan
        for field in self._fields.values():
            field.show(plan)

    def _take(self, _value: object = None) -> None:
        changes = {name: field.value for name, field in self._fields.items() if field.was_changed}
        if changes:
            self.show_plan(replace(self._plan, **changes))
            self.changed.emit(self._plan)


class _Field:
    """One setting as a widget of magicgui's, and the Qt widget of that."""

    def __init__(self, setting: Setting, *, titled: bool) -> None:
        self.setting = setting
        options: dict[str, Any] = {"tooltip": plain_tip(tip_of(setting))}
        is_number = setting.kind in ("int", "float")
        if setting.choices is not None:
            options["choices"] = [(title, value) for value, title in setting.choices.items()]
        self.widget = create_widget(
            annotation=_TYPES[setting.kind],
            name=setting.name,
            label=setting.title,
            # magicgui's own box of whole numbers knows no unit
            widget_type="FloatSpinBox" if is_number else None,
            options=options,
        )
        self.box: Any = self.widget.native
        self.title: PlainLabel | None = None
        if is_number:
            self._set_range()
        if setting.kind == "bool":
            self.box.setText(setting.title)
        elif titled:
            self.title = PlainLabel(setting.title)
            set_tip(self.title, tip_of(setting))
        if isinstance(self.box, QComboBox):
            self.box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            self.box.setMinimumWidth(_COMBO_WIDTH)
        elif setting.kind == "text":
            self.box.setPlaceholderText(setting.none)
            self.box.setMinimumWidth(_COMBO_WIDTH)
        self._shown: Any = None

    def _set_range(self) -> None:
        setting, box = self.setting, self.box
        scale = 100 if setting.percent else 1
        box.setDecimals(max(0, ceil(-log10(setting.step))))
        box.setSingleStep(setting.step)
        least = 0 if setting.least is None else scale * setting.least
        box.setRange(
            least - setting.step if setting.none else least,
            _NO_END if setting.most is None else scale * setting.most,
        )
        box.setSpecialValueText(setting.none or setting.least_is)
        unit = "%" if setting.percent else setting.unit
        box.setSuffix(f" {unit}" if unit else "")

    @property
    def _content(self) -> Any:
        """What the widget holds, in its own terms."""
        return self.widget.value

    @property
    def was_changed(self) -> bool:
        """Whether the user changed it since it was shown."""
        return bool(self._content != self._shown)

    @property
    def value(self) -> Any:
        """What the widget says, in the plan's terms."""
        content, setting = self._content, self.setting
        if setting.kind not in ("int", "float"):
            return content
        if setting.none and content < (setting.least or 0):
            return None
        if setting.percent:
            return round(content) / 100
        return round(content) if setting.kind == "int" else float(content)

    def show(self, plan: Any) -> None:
        """Show what a plan says; a widget that says it already is left alone, cursor and all."""
        setting = self.setting
        value = getattr(plan, setting.name)
        if value is None and setting.in_force:
            value = getattr(plan, setting.in_force)
        if setting.kind in ("int", "float"):
            if value is None:
                value = self.box.minimum()
            elif setting.percent:
                value = round(100 * value)
        if value != self._content:
            with signals_blocked(self.box), self.widget.changed.blocked():
                self.widget.value = value
        self._shown = self._content
        if setting.needs is None:
            return
        self.box.setVisible(setting.needs(plan))
        if self.title is not None:
            self.title.setVisible(setting.needs(plan))


def tip_of(setting: Setting) -> str:
    """Return what a tooltip says: the meaning, the range with its unit, the default."""
    lines = textwrap.wrap(f"{setting.help}.", _TIP_LETTERS)
    said = [setting.range] if setting.range and setting.choices is None else []
    default = setting.shown(setting.default)
    if default and setting.kind != "bool":
        said.append(f"by default {default}")
    return "\n".join([*lines, "; ".join(said)]).rstrip()
