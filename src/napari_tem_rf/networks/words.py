"""Networks and their receptive fields in words and lengths, for labels and read-outs."""

from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.receptive_field import Interval, ReceptiveField
from napari_tem_rf.networks.spec import NetworkSpec

PixelSize = tuple[float, float] | None
"""(row, column) size of a pixel in nm; None where it is not known."""


def nm(length: float) -> str:
    """Return a length in nm with three figures."""
    decimals = 0 if length >= 100 else 1 if length >= 10 else 2
    return f"{length:.{decimals}f} nm"


def side(length_px: float, size_nm: PixelSize) -> str:
    """Return a square's side: "120 px = 2.40 nm"."""
    px = f"{length_px:,.0f} px"
    if size_nm is None:
        return px
    rows, columns = length_px * size_nm[0], length_px * size_nm[1]
    if nm(rows) == nm(columns):
        return f"{px} = {nm(rows)}"
    return f"{px} = {nm(rows)[:-3]} × {nm(columns)}"


def box_sides(rows: Interval, columns: Interval, size_nm: PixelSize) -> str:
    """Return a box's sides: "116 × 132 px = 2.32 × 2.64 nm" (vertical × horizontal)."""
    if rows.width == columns.width:
        return side(rows.width, size_nm)
    px = f"{rows.width} × {columns.width} px"
    if size_nm is None:
        return px
    return f"{px} = {nm(rows.width * size_nm[0])[:-3]} × {nm(columns.width * size_nm[1])}"


def by_phase(field: ReceptiveField) -> str:
    """Return the exact widths in px: "116 to 132 px by phase", or the one there is."""
    if field.smallest == field.largest:
        return f"{field.smallest} px at every pixel"
    return f"{field.smallest} to {field.largest} px by phase"


def structure(spec: NetworkSpec) -> str:
    """Return a network's structure: "pools 4, 4; 8 filters"."""
    parts = [f"pools {_listed(spec.pools)}" if spec.pools else "no pools"]
    if set(spec.dilations) != {1}:
        parts.append(f"dilations {_listed(spec.dilations)}")
    parts.append(f"{spec.filters} filter{'' if spec.filters == 1 else 's'}")
    if spec.growth != 2:
        parts.append(f"× {spec.growth:g} a level")
    return "; ".join(parts)


def count(number: float) -> str:
    """Return a number in short: 31.6 k, 1.20 M, 4.50 G."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            scaled = number / (1e3 if letter == "k" else size)
            return f"{scaled:.3g} {letter}" if scaled < 100 else f"{scaled:.0f} {letter}"
    return f"{number:,.0f}"


def widths(field: EffectiveField, size_nm: PixelSize) -> str:
    """Return what an effective field measures, in one line."""
    return (
        f"half of the influence within {side(field.w50_px, size_nm)}, "
        f"95 % within {side(field.w95_px, size_nm)}"
    )


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(str(value) for value in values)
