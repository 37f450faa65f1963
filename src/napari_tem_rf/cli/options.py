"""Options that several commands share, and how their texts are read."""

from math import isfinite
from typing import get_args

import typer

from napari_tem_rf.networks.catalog import FIRST_NETWORK, catalog
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import Device


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


def _known_device(name: str) -> str:
    if name not in get_args(Device):
        raise typer.BadParameter(f"{name!r}: give {', '.join(get_args(Device))}")
    return name


DEVICE = typer.Option("auto", "--device", callback=_known_device, help="auto, cpu, cuda or mps.")


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

    Where nothing is said it is the program's first pick.
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


def check_unlabelled(unlabelled: str) -> None:
    """Raise a usage error when the meaning of a label of 0 is none that is known."""
    if unlabelled not in ("ignore", "background"):
        raise typer.BadParameter(
            f"{unlabelled!r}: give ignore or background", param_hint="--unlabelled"
        )
