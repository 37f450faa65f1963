"""A report on particles as one page for the browser; it needs no other file.

Names of files, images and runs are anybody's: every text is escaped.
"""

import base64
import io
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from napari_tem_rf.figures import new_figure
from napari_tem_rf.measuring.populations import Population
from napari_tem_rf.movies import Course
from napari_tem_rf.particle_report.content import ParticleReport
from napari_tem_rf.particle_report.pictures import (
    COURSES,
    draw_course,
    draw_example,
    draw_lattices,
    draw_shapes,
    draw_sizes,
    rasterise,
)
from napari_tem_rf.particle_report.wording import facts_of, quantity_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["web_page"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 66rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
h3 { font-size: 1rem; margin-bottom: .4rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th { text-align: left; border-bottom: 2px solid #888; white-space: nowrap; }
td, th { padding: .22rem .6rem; vertical-align: top; }
tbody tr:nth-child(even) { background: #f3f4f6; }
td.number { text-align: right; } tr.best td { font-weight: 600; }
.facts td:nth-child(-n+2) { white-space: nowrap; } .facts td:nth-child(2) { font-weight: 600; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.pair > * { flex: 1 1 26rem; min-width: 0; }
.three { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem; }
figure { margin: .6rem 0; } figure img { max-width: 100%; } .wide { overflow-x: auto; }
figcaption, .small { color: #555; font-size: 13px; }
.note { border-left: 3px solid #b36b00; padding-left: .7rem; margin: .4rem 0; }
pre { background: #f3f4f6; padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere;
  font-size: 13px; }
.hash { font-family: monospace; font-size: 12px; }
@media print { body { margin: 0; max-width: none; font-size: 12px; } }
"""


def web_page(report: ParticleReport) -> str:
    """Return a report as HTML."""
    everything, *classes = report.populations
    title = escape(report.title)
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="small">Particles measured by napari-tem-rf, {escape(report.created)}</p>',
        *_notes(everything),
        *_population(everything),
    ]
    for course in report.courses:
        parts += _course(course)
    if report.examples:
        parts += ["<h2>Outlines</h2>", '<div class="three">']
        for example in report.examples:
            picture = _figure(
                partial(draw_example, example=example),
                f"particles of {example.title}",
                size=(3.6, 3.8),
                ending="png",
            )
            parts.append(picture)
        parts.append("</div>")
    for population in classes:
        parts += [
            f"<h2>Class {population.value}</h2>",
            *_notes(population),
            *_population(population),
        ]
    parts += ["<h2>How it was made</h2>", *_origin(report)]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _notes(population: Population) -> list[str]:
    return [f'<p class="note">{escape(note)}</p>' for note in population.notes]


def _population(population: Population) -> list[str]:
    rows = [(fact.title, fact.value, fact.meaning) for fact in facts_of(population)]
    table = f'<div class="facts">{_table(("", "", ""), rows, head=False)}</div>'
    if not population.found.number:
        return [table]
    size = quantity_words(population)
    parts = [
        '<div class="pair">',
        table,
        _figure(
            lambda axes: draw_sizes(axes, population),
            f"{size.capitalize()}; lines: fits; above: the mean with its 95 % interval.",
        ),
        "</div>",
    ]
    if population.fits:
        fits = [
            (
                fit.name,
                fit.words,
                f"{fit.aicc - population.fits[0].aicc:.1f}",
                f"{fit.weight:.2f}",
                f"{fit.ks:.3f}",
                f"{fit.p_value:.3f}" if fit.p_value > 0.001 else "0.001 or less",
            )
            for fit in population.fits
        ]
        heads = ("distribution", f"parameters ({population.unit})", "ΔAIC", "weight", "KS", "p")
        parts += [
            "<h3>Fits</h3>",
            _table(heads, fits, numbers=4, best=True),
            '<p class="small">By maximum likelihood, beginning at 0 except the normal one. ΔAIC: '
            "above the best, corrected for few particles; weight: share of the evidence. KS: "
            "largest distance of the cumulative distributions; p: how often samples of the fit, "
            "fitted again, are as far (parametric bootstrap, as Lilliefors); below 0.05 the "
            "distribution does not describe the sizes.</p>",
        ]
    parts += [
        '<div class="pair">',
        _figure(
            lambda axes: draw_shapes(axes, population),
            "Shapes. Particles below the line are ragged, or have dents.",
        ),
    ]
    if len(population.lattices):
        parts.append(
            _figure(
                lambda axes: draw_lattices(axes, population),
                "Strongest lattice planes of each particle, with standard errors of the noise; "
                "the calibration's own error comes on top.",
            )
        )
    parts.append("</div>")
    return parts


def _course(course: Course) -> list[str]:
    """Show what becomes of the particles of a series."""
    figures = [
        _figure(partial(draw_course, course=course, what=what), name.capitalize(), size=(3.6, 2.5))
        for what, name in COURSES.items()
    ]
    return [
        f"<h2>Frame by frame: {escape(course.image)}</h2>",
        '<div class="three">',
        *figures,
        "</div>",
        '<p class="small">Band: 95 % interval of the mean, of the particles that the border does '
        "not cut. For single particles through time: <code>napari-tem-rf track</code>.</p>",
    ]


def _origin(report: ParticleReport) -> list[str]:
    parts = [
        _table(("", ""), report.settings, head=False),
        "<h3>The command that makes it again</h3>",
        f"<p>{escape(report.command_note)}</p>" if report.command_note else "",
        f"<pre>{escape(report.command)}</pre>",
        "<h3>Images and masks</h3>",
    ]
    heads = ("image", "nm a pixel", "mask", "its SHA-256", "image file", "its SHA-256", "run")
    rows = [
        (
            source.image,
            _pixel(source.pixel_size_nm),
            source.mask + (" (corrected by hand)" if source.by_hand else ""),
            (source.mask_sha256 or "")[:16],
            source.source or "",
            (source.source_sha256 or "")[:16],
            source.run or "",
        )
        for source in report.sources
    ]
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    parts += [_table(heads, rows), f'<p class="small">{escape(versions)}</p>']
    return parts


def _pixel(size: tuple[float, float] | None) -> str:
    if size is None:
        return "none"
    return f"{size[0]:.4g}" if size[0] == size[1] else f"{size[0]:.4g} × {size[1]:.4g}"


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    head: bool = True,
    numbers: int = 0,
    best: bool = False,
) -> str:
    """Return a table; the last ``numbers`` columns are numbers, and the first row may be best."""
    lines = []
    for place, row in enumerate(rows):
        cells = "".join(
            f'<td class="number">{escape(cell)}</td>'
            if at >= len(row) - numbers
            else f"<td>{escape(cell)}</td>"
            for at, cell in enumerate(row)
        )
        lines.append(
            f'<tr class="best">{cells}</tr>' if best and not place else f"<tr>{cells}</tr>"
        )
    top = "".join(f"<th>{escape(name)}</th>" for name in heads)
    above = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f'<div class="wide"><table>{above}<tbody>{"".join(lines)}</tbody></table></div>'


def _figure(
    draw: "Callable[[Axes], None]",
    caption: str,
    size: tuple[float, float] = (5.0, 3.1),
    ending: str = "svg",
) -> str:
    figure = new_figure(*size, dpi=160)
    axes = figure.add_subplot()
    draw(axes)
    rasterise(axes)
    memory = io.BytesIO()
    figure.savefig(memory, format=ending)
    kind = {"svg": "image/svg+xml", "png": "image/png"}[ending]
    data = base64.b64encode(memory.getvalue()).decode()
    return (
        f'<figure><img src="data:{kind};base64,{data}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
