"""``networks`` and ``field``: what can be chosen, and what a network sees."""

from itertools import islice
from typing import Any

import typer

from napari_tem_rf.cli.options import (
    DILATIONS,
    FILTERS,
    PARAMETERS,
    PIXEL_SIZE,
    POOLS,
    RECEPTIVE_FIELD,
    RECEPTIVE_FIELD_NM,
    field_in_px,
    spec_of,
)
from napari_tem_rf.cli.output import JSON_OPTION, print_json, print_table, say, tell
from napari_tem_rf.networks.catalog import nearest_networks
from napari_tem_rf.networks.receptive_field import receptive_field as field_of
from napari_tem_rf.networks.spec import NetworkSpec

_MOST_ROWS = 1024


def entry(spec: NetworkSpec) -> dict[str, Any]:
    """Return a network, its parameters and its fields as plain JSON values."""
    return {
        "pools": list(spec.pools),
        "dilations": list(spec.dilations),
        "filters": spec.filters,
        "growth": spec.growth,
        "parameters": spec.parameters,
        "macs_per_pixel": spec.macs_per_pixel,
        "receptive_field": field_of(spec).to_dict(),
    }


def networks(
    receptive_field: float = RECEPTIVE_FIELD,
    receptive_field_nm: float = RECEPTIVE_FIELD_NM,
    pixel_size: float = PIXEL_SIZE,
    parameters: float = PARAMETERS,
    limit: int = typer.Option(5, "--limit", min=1, max=1000, help="How many networks to print."),
    json: bool = JSON_OPTION,
) -> None:
    """List the networks nearest to a wish for receptive field and parameters, nearest first."""
    field_px = field_in_px(receptive_field, receptive_field_nm, pixel_size)
    matches = nearest_networks(field_px, parameters, limit)
    if json:
        print_json([entry(match.spec) for match in matches])
        return
    if matches[0].within > 0.1:
        say("no network of the catalog is within 10 % of the wish; these are the nearest")
    rows = []
    for match in matches:
        field = field_of(match.spec)
        nm = f"{field.nominal * pixel_size:.3g}" if pixel_size else "-"
        exact = f"{field.smallest} to {field.largest}"
        rows.append(
            [
                field.nominal,
                nm,
                exact,
                f"{match.parameters:,}",
                f"{match.receptive_field_off:+.1%}",
                f"{match.parameters_off:+.1%}",
                f"{match.spec.macs_per_pixel:,.0f}",
                match.spec,
            ]
        )
    header = (
        "field/px",
        "field/nm",
        "exact/px",
        "parameters",
        "field off",
        "param. off",
        "multiply-adds/px",
        "network",
    )
    print_table(header, rows)


def field(
    pools: str = POOLS,
    dilations: str = DILATIONS,
    filters: int = FILTERS,
    json: bool = JSON_OPTION,
) -> None:
    """Print the nominal and the exact receptive field of a network, phase by phase."""
    if pools is None:
        raise typer.BadParameter("say which network: --pools 4,4 (or --pools none)")
    spec = spec_of(pools, dilations, filters)
    exact = field_of(spec)
    if json:
        print_json({**entry(spec), "phases": [list(phase) for phase in exact.phases]})
        return
    tell(f"{spec}: {spec.parameters:,} parameters")
    tell(f"nominal field {exact.nominal} px")
    tell(
        f"exact field {exact.smallest} to {exact.largest} px by phase, "
        f"period {exact.period} px, halo {exact.halo} px"
    )
    rows = [
        (phase, before, after, before + after + 1)
        for phase, (before, after) in islice(enumerate(exact.phases), _MOST_ROWS)
    ]
    print_table(("phase", "before/px", "after/px", "width/px"), rows)
    if len(exact.phases) > _MOST_ROWS:
        say(f"{len(exact.phases) - _MOST_ROWS:,} more phases are left out: --json has all")
