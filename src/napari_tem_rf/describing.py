"""The settings of a plan, described once: on the fields of its dataclass.

`told` gives a field its title, unit, range, choices and meaning; `settings_of` reads them again.
The window's form, the options of the command line and the tables of the guide are made from
that, so that they name the same settings with the same bounds, defaults and words.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

__all__ = ["Setting", "check_settings", "settings_of", "told"]

_KEY = "told"

T = TypeVar("T")
Kind = Literal["bool", "float", "int", "numbers", "text"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a plan.

    Attributes
    ----------
    title : str
        What the form calls it.
    help : str
        Its meaning in a sentence or two, without a stop at the end.
    unit : str
        Shown behind the number.
    least, most : float, optional
        The range, both ends included; None: no end.
    choices : mapping, optional
        What may be chosen, and its title in the form.
    none : str
        What None, or an empty text, means in words; in a form it stands below the least number.
    least_is : str
        What the least number means, in words.
    in_force : str
        Property of the plan that says which number None stands for.
    percent : bool
        A fraction that the form shows in percent.
    step : float
        From one number to the next in the form.
    needs : callable, optional
        Whether the setting says anything in a plan; the form hides it otherwise.
    option : str, optional
        Its name on the command line; made from the field's name when not given, empty where the
        command line says it in another way.
    name : str
        The field.
    kind : {"bool", "float", "int", "numbers", "text"}
    default : object
        Its value when none is given.
    """

    title: str
    help: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    choices: Mapping[str, str] | None = None
    none: str = ""
    least_is: str = ""
    in_force: str = ""
    percent: bool = False
    step: float = 1.0
    needs: Callable[[Any], bool] | None = None
    option: str | None = None
    name: str = ""
    kind: Kind = "text"
    default: Any = None

    @property
    def flag(self) -> str:
        """Name of the option, ``--no-`` beside it where it is switched; empty without one."""
        option = f"--{self.name.replace('_', '-')}" if self.option is None else self.option
        return f"{option}/--no-{option[2:]}" if option and self.kind == "bool" else option

    @property
    def range(self) -> str:
        """What may be given, in the window's words: its unit, percent, titles of the choices."""
        if self.kind == "bool":
            return "on or off"
        if self.choices is not None:
            return "; ".join(self.choices.values())
        unit = " %" if self.percent else f" {self.unit}" if self.unit else ""
        if self.kind == "numbers":
            return f"a list{unit and f', in{unit}'}"
        words = []
        if self.least is not None and self.most is not None:
            words.append(f"{self._number(self.least)} to {self._number(self.most)}{unit}")
        elif self.least is not None:
            words.append(f"at least {self._number(self.least)}{unit}")
        if words and self.none:
            words.append(self.none)
        return ", or ".join(words)

    def shown(self, value: Any) -> str:
        """Return a value in the window's words."""
        if value in (None, ""):
            return self.none
        if self.kind == "bool":
            return "on" if value else "off"
        if self.choices is not None:
            return self.choices[value]
        if self.kind == "text":
            return str(value)
        if self.least_is and value == self.least:
            return self.least_is
        unit = " %" if self.percent else f" {self.unit}" if self.unit else ""
        return f"{self._number(value)}{unit}"

    def typed(self, value: Any) -> str:
        """Return a value as it is typed on the command line; empty where nothing is."""
        if value is None:
            return ""
        if self.kind == "bool":
            on, off = self.flag.split("/")
            return on if value else off
        return self._number(value, fraction=True)

    def _number(self, value: Any, *, fraction: bool = False) -> str:
        if isinstance(value, tuple):
            return ("," if fraction else ", ").join(f"{each:.10g}" for each in value)
        if isinstance(value, str):
            return value
        return f"{100 * value if self.percent and not fraction else value:.10g}"

    def check(self, value: Any) -> None:
        """Raise ValueError where a value is not of the choices or out of its range."""
        if value is None:
            return
        if self.choices is not None and value not in self.choices:
            raise ValueError(
                f'{self.name} is "{value}": it must be one of {", ".join(self.choices)}'
            )
        if self.kind not in ("int", "float"):
            return
        low, high = self.least, self.most
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            rule = (
                f"from {low:.10g} to {high:.10g}"
                if low is not None and high is not None
                else f"at least {low:.10g}"
                if low is not None
                else f"at most {high:.10g}"
            )
            raise ValueError(f"{self.name} is {value}: it must be {rule}")


def told(
    default: T,
    title: str,
    help: str,  # noqa: A002 - the command line's word
    *,
    unit: str = "",
    least: float | None = None,
    most: float | None = None,
    choices: Mapping[str, str] | None = None,
    none: str = "",
    least_is: str = "",
    in_force: str = "",
    percent: bool = False,
    step: float = 1.0,
    needs: Callable[[Any], bool] | None = None,
    option: str | None = None,
) -> T:
    """Return a dataclass's field that is a setting of a plan; see `Setting`."""
    setting = Setting(
        *(title, help, unit, least, most, choices, none, least_is, in_force),
        *(percent, step, needs, option),
    )
    described: Any = field(default=default, metadata={_KEY: setting})
    return described


def settings_of(plan: Any, *, leave_out: Collection[str] = ()) -> tuple[Setting, ...]:
    """Return the settings of a plan, in the order of its fields.

    Parameters
    ----------
    plan : dataclass or one of its instances
        The values of an instance are the defaults.
    leave_out : collection of str
        Fields that are set in another way.
    """
    kinds = get_type_hints(plan if isinstance(plan, type) else type(plan))
    return tuple(
        replace(
            each.metadata[_KEY],
            name=each.name,
            kind=_kind(kinds[each.name]),
            default=_default(plan, each),
        )
        for each in fields(plan)
        if _KEY in each.metadata and each.name not in leave_out
    )


def check_settings(plan: Any) -> None:
    """Raise ValueError where a value of a plan is out of the range that is described."""
    for setting in settings_of(plan):
        setting.check(setting.default)


def _default(plan: Any, each: Any) -> Any:
    if not isinstance(plan, type):
        return getattr(plan, each.name)
    return None if each.default is MISSING else each.default


def _kind(annotation: Any) -> Kind:
    of = [each for each in get_args(annotation) if each is not NoneType]
    if NoneType in get_args(annotation):
        annotation = of[0]
    if get_origin(annotation) is tuple:
        return "numbers"
    kinds: dict[Any, Kind] = {bool: "bool", float: "float", int: "int"}
    return kinds.get(annotation, "text")
