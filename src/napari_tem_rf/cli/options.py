"""Options that several commands share, those of the settings of a plan, and how texts are read."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from math import isfinite
from types import MappingProxyType
from typing import Any

import typer

from napari_tem_rf.describing import Setting, settings_of
from napari_tem_rf.networks.catalog import FIRST_NETWORK, catalog
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import default_plan

Given = Mapping[str, Any]
"""The settings of a plan that the command line gives, by field; others are not in it."""

NOT_SAID: Given = MappingProxyType({})

Command = Callable[..., None]


def _positive(value: float | None) -> float | None:
    if value is not None and not (isfinite(value) and value > 0):
        raise typer.BadParameter(f"{value:g}: it must be a number above 0")
    return value


RECEPTIVE_FIELD = typer.Option(
    None, "--receptive-field", callback=_positive, help="Wished nominal receptive field in px."
)
RECEPTIVE_FIELD_NM = typer.Option(
    None,
    "--receptive-field-nm",
    callback=_positive,
    help="The same in nm; needs --pixel-size.",
)
PARAMETERS = typer.Option(
    None, "--parameters", callback=_positive, help="Wished number of trainable parameters."
)
PIXEL_SIZE = typer.Option(
    None,
    "--pixel-size",
    callback=_positive,
    help="Pixel size in nm, where the files have none or a wrong one.",
)
POOLS = typer.Option(None, "--pools", help="Pools of the levels, as 4,4; none for no level.")
DILATIONS = typer.Option(
    None, "--dilations", help="Dilations of the levels and the bottleneck, as 1,1,1."
)
FILTERS = typer.Option(None, "--filters", min=1, help="Channels of the first level.")


def option_of(plan: Any, name: str, *, given: bool = True) -> Any:
    """Return the command-line option of one setting of a plan.

    Parameters
    ----------
    plan : dataclass or one of its instances
    name : str
        The field.
    given : bool
        Whether the option is None when it is not given; otherwise it has the field's default.
    """
    (setting,) = (each for each in settings_of(plan) if each.name == name)
    return _option(setting, None if given else setting.default)


def _option(setting: Setting, default: Any) -> Any:
    bounds: dict[str, Any] = {}
    if setting.kind in ("int", "float"):
        numbers = {"min": setting.least, "max": setting.most}
        bounds = {name: end for name, end in numbers.items() if end is not None}
    said = setting.typed(setting.default) or setting.none
    return typer.Option(
        default,
        setting.flag,
        callback=_reader(setting),
        help=_help(setting),
        show_default=said or False,
        **bounds,
    )


def _help(setting: Setting) -> str:
    """Return the meaning, and the choices as they are typed; typer adds a number's range."""
    if setting.choices is not None:
        return f"{setting.help}: {', '.join(setting.choices)}."
    unit = "a fraction" if setting.percent else setting.unit and f"in {setting.unit}"
    return f"{setting.help}{unit and f' ({unit})'}."


def _reader(setting: Setting) -> Callable[[Any], Any] | None:
    """Return what reads the text of an option; None where typer does."""
    choices, option = setting.choices, setting.flag

    def choice(text: str | None) -> str | None:
        if choices is not None and text is not None and text not in choices:
            between = " or " if len(choices) == 2 else ", "
            raise typer.BadParameter(f"{text!r}: give {between.join(choices)}")
        return text

    def numbers(text: str | None) -> tuple[float, ...] | None:
        try:
            return None if text is None else tuple(float(part) for part in text.split(","))
        except ValueError:
            raise typer.BadParameter(
                f"{text!r} is not a list of numbers like 44,120", param_hint=option
            ) from None

    if choices is not None:
        return choice
    return numbers if setting.kind == "numbers" else None


_TYPES: dict[str, Any] = {"bool": bool, "float": float, "int": int, "numbers": str, "text": str}


def told_by_options(**plans: Sequence[Setting]) -> Callable[[Command], Command]:
    """Give a command an option for each setting of its plans.

    Parameters
    ----------
    **plans : sequence of Setting
        The settings of each plan, by the command's parameter that receives those `Given`.
    """
    settings = {name: [each for each in plan if each.flag] for name, plan in plans.items()}

    def spread(command: Command) -> Command:
        @wraps(command)
        def called(**values: Any) -> None:
            for name, of_plan in settings.items():
                said = {setting.name: values.pop(setting.name) for setting in of_plan}
                values[name] = {field: value for field, value in said.items() if value is not None}
            command(**values)

        signature = inspect.signature(command, eval_str=True)
        parameters = []
        for parameter in signature.parameters.values():
            if parameter.name not in settings:
                parameters.append(parameter)
                continue
            for setting in settings[parameter.name]:
                parameters.append(
                    inspect.Parameter(
                        setting.name,
                        parameter.kind,
                        default=_option(setting, None),
                        annotation=_TYPES[setting.kind],
                    )
                )
        told: Any = called
        told.__signature__ = signature.replace(parameters=parameters)
        told.__annotations__ = {each.name: each.annotation for each in parameters}
        return called

    return spread


DEVICE = option_of(default_plan(), "device", given=False)


def integers(text: str, option: str) -> tuple[int, ...]:
    """Return the whole numbers of a text like ``4,4``."""
    parts = [part.strip() for part in text.split(",")]
    if parts in ([""], ["none"]):
        return ()
    try:
        return tuple(int(part) for part in parts)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a list of whole numbers like 4,4", param_hint=option
        ) from None


def spec_of(pools: str | None, dilations: str | None, filters: int | None) -> NetworkSpec:
    """Return the network that pools, dilations and filters name."""
    try:
        return NetworkSpec(
            pools=integers("4,4" if pools is None else pools, "--pools"),
            dilations=() if dilations is None else integers(dilations, "--dilations"),
            filters=4 if filters is None else filters,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def field_in_px(
    receptive_field: float | None, receptive_field_nm: float | None, pixel_size: float | None
) -> float | None:
    """Return the wished field in px, from px or from nm."""
    if receptive_field_nm is None:
        return receptive_field
    if receptive_field is not None:
        raise typer.BadParameter("give --receptive-field or --receptive-field-nm, not both")
    if not pixel_size:
        raise typer.BadParameter("--receptive-field-nm needs --pixel-size NM")
    return receptive_field_nm / pixel_size


def pick_network(
    wish: tuple[float | None, float | None],
    pools: str | None,
    dilations: str | None,
    filters: int | None,
) -> tuple[NetworkSpec, str]:
    """Return the network of a wish (field in px, parameters) or of named pools, and a sentence.

    When neither is given, the network is the program's first pick.
    """
    named = [
        name
        for name, value in (("--pools", pools), ("--dilations", dilations), ("--filters", filters))
        if value is not None
    ]
    if wish != (None, None):
        if named:
            raise typer.BadParameter(
                f"give a wish (--receptive-field, --parameters) or {', '.join(named)}, not both"
            )
        match = catalog().pick(*wish)
        off = f"{match.receptive_field_off:+.0%} and {match.parameters_off:+.0%} off the wish"
        return match.spec, (
            f"network: {match.spec}; field {match.receptive_field} px, "
            f"{match.parameters:,} parameters ({off})"
        )
    spec = spec_of(pools, dilations, filters) if named else FIRST_NETWORK
    return spec, f"network: {spec}; {spec.parameters:,} parameters"


LABELS_ARE = typer.Option(
    "auto",
    "--labels-are",
    help="What label values are: classes, particles (a number for each particle, which tells apart "
    "those that touch), or auto, which looks at the labels and says what it takes them for.",
)
UNLABELLED = typer.Option(
    None,
    "--unlabelled",
    help="What a label of 0 means: ignore (not annotated) or background (a finished mask). When "
    "not given: ignore beside classes, background beside numbered particles.",
    show_default=False,
)


def check_labels_are(labels_are: str) -> None:
    """Raise a usage error when what labels are is not a known word."""
    if labels_are not in ("auto", "classes", "particles"):
        raise typer.BadParameter(
            f"{labels_are!r}: give auto, classes or particles", param_hint="--labels-are"
        )


def check_unlabelled(unlabelled: str | None) -> None:
    """Raise a usage error when the meaning of a label of 0 is not a known one."""
    if unlabelled not in (None, "ignore", "background"):
        raise typer.BadParameter(
            f"{unlabelled!r}: give ignore or background", param_hint="--unlabelled"
        )
