"""A report on particles as PDF: a sheet of A4, and one more for each class and each series."""

import io
import textwrap
from typing import TYPE_CHECKING, Any

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
from napari_tem_rf.particle_report.wording import facts_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["sheet"]

_A4_IN = (8.27, 11.69)
_LEFT, _RIGHT, _TOP = 0.075, 0.955, 0.962
_SMALL_PT, _TEXT_PT = 6.6, 7.6
_LINE = 0.0125
_QUIET = "#5a5a5a"
_MOST_SOURCES = 4


def sheet(report: ParticleReport) -> bytes:
    """Return a report as PDF."""
    from matplotlib.backends.backend_pdf import PdfPages

    memory = io.BytesIO()
    about = {"Title": report.title, "Creator": "napari-tem-rf"}
    with PdfPages(memory, metadata=about) as pages:
        for population in report.populations:
            pages.savefig(_page(report, population))
        for course in report.courses:
            pages.savefig(_page_of_time(report, course))
    return memory.getvalue()


def _page(report: ParticleReport, population: Population) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=_A4_IN, dpi=200)
    heading = (
        report.title if population.value is None else (f"{report.title}: class {population.value}")
    )
    _text(figure, _LEFT, _TOP, _cut(heading, 90), size=13, weight="bold")
    made = f"Particles measured by napari-tem-rf, {report.created}"
    _text(figure, _LEFT, _TOP - 0.018, made, size=_SMALL_PT, color=_QUIET)
    y = _facts(figure, population, _TOP - 0.048)
    y = _notes(figure, population, y - 0.004)
    if population.found.number:
        y = _plots(figure, population, y)
    if population.value is None:
        y = _examples(figure, report, y)
    _origin(figure, report, y)
    return figure


def _page_of_time(report: ParticleReport, course: Course) -> "Figure":
    """Return the page that shows what becomes of the particles of a series."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_A4_IN, dpi=200)
    heading = f"{report.title}: frame by frame"
    _text(figure, _LEFT, _TOP, _cut(heading, 90), size=13, weight="bold")
    said = (
        f"{course.image}, {len(course.frames)} frames. Band: 95 % interval of the mean, of the "
        "particles that the border does not cut."
    )
    _text(figure, _LEFT, _TOP - 0.02, _cut(said, 150), size=_SMALL_PT, color=_QUIET)
    height, gap = 0.24, 0.055
    for at, what in enumerate(COURSES):
        low = _TOP - 0.06 - height - at * (height + gap)
        draw_course(figure.add_axes((_LEFT + 0.03, low, 0.85, height)), course, what)
    return figure


def _facts(figure: "Figure", population: Population, y: float) -> float:
    """Write the facts in three columns, a line each; return where the next line goes."""
    for fact in facts_of(population):
        _text(figure, _LEFT, y, fact.title)
        _text(figure, _LEFT + 0.2, y, fact.value, weight="bold")
        _text(figure, _LEFT + 0.53, y, _cut(fact.meaning, 72), size=_SMALL_PT, color=_QUIET)
        y -= _LINE
    return y


def _notes(figure: "Figure", population: Population, y: float) -> float:
    for note in population.notes:
        for line in textwrap.wrap(note, 140):
            _text(figure, _LEFT, y, line, size=_SMALL_PT + 0.4, style="italic")
            y -= _LINE * 0.9
    return y


def _plots(figure: "Figure", population: Population, y: float) -> float:
    height, gap = 0.185, 0.028
    low = y - height - gap
    draw_sizes(figure.add_axes((_LEFT + 0.03, low, 0.4, height)), population)
    _fits(figure, population, 0.53, y - 0.02)
    second = height * 0.72 if population.fits else height
    shapes = (0.58, low, 0.37, second - 0.035) if population.fits else (0.58, low, 0.37, height)
    draw_shapes(figure.add_axes(shapes), population)
    low -= 0.035
    if len(population.lattices):
        low -= 0.11
        draw_lattices(figure.add_axes((_LEFT + 0.03, low, 0.85, 0.105)), population)
        low -= 0.035
    for axes in figure.axes:
        rasterise(axes)
    return low - 0.012


def _fits(figure: "Figure", population: Population, x: float, y: float) -> None:
    places = (0.0, 0.085, 0.29, 0.335, 0.38)
    if not population.fits:
        return
    for place, head in zip(places, ("fit", "", "ΔAIC", "weight", "p"), strict=True):
        _text(figure, x + place, y, head, size=_SMALL_PT, color=_QUIET)
    for at, fit in enumerate(population.fits):
        y -= _LINE * 0.85
        weight = "bold" if at == 0 else "normal"
        cells = (
            fit.name,
            fit.words.replace("standard deviation", "sd").replace("sigma of the logarithm", "σ"),
            f"{fit.aicc - population.fits[0].aicc:.1f}",
            f"{fit.weight:.2f}",
            f"{fit.p_value:.3f}" if fit.p_value > 0.001 else "≤ 0.001",
        )
        for place, cell in zip(places, cells, strict=True):
            _text(figure, x + place, y, cell, size=_SMALL_PT, weight=weight)


def _examples(figure: "Figure", report: ParticleReport, y: float) -> float:
    number = len(report.examples)
    if not number:
        return y
    bottom = _origin_height(report)
    height = min(0.2, y - bottom - 0.03)
    if height < 0.06:
        return y
    width = (_RIGHT - _LEFT) / max(number, 2)
    for at, example in enumerate(report.examples):
        axes = figure.add_axes((_LEFT + at * width, y - height - 0.012, 0.96 * width, height))
        draw_example(axes, example)
    return y - height - 0.03


def _origin(figure: "Figure", report: ParticleReport, y: float) -> None:
    del y
    line = 0.0105
    y = _origin_height(report) - line
    for text, style in _origin_lines(report):
        family = "monospace" if style == "code" else None
        _text(
            figure,
            _LEFT,
            y,
            text,
            size=_SMALL_PT - (0.4 if style == "code" else 0),
            family=family,
            weight="bold" if style == "head" else "normal",
        )
        y -= line


def _origin_height(report: ParticleReport) -> float:
    return 0.025 + 0.0105 * (len(_origin_lines(report)) + 1)


def _origin_lines(report: ParticleReport) -> list[tuple[str, str]]:
    settings = "; ".join(f"{name}: {value}" for name, value in report.settings)
    lines = [("How it was made", "head")]
    lines += [(line, "") for line in textwrap.wrap(settings, 165)]
    shown = report.sources[:_MOST_SOURCES]
    for source in shown:
        said = f"{source.image}: mask {source.mask}"
        if source.mask_sha256:
            said += f" (SHA-256 {source.mask_sha256[:16]})"
        if source.by_hand:
            said += ", corrected by hand"
        if source.run:
            said += f", predicted by {source.run}"
        lines += [(line, "") for line in textwrap.wrap(said, 165)[:2]]
    if len(report.sources) > len(shown):
        more = len(report.sources) - len(shown)
        lines.append((f"and {more:,} more images; the page as HTML lists them all", ""))
    if report.command_note:
        lines += [(line, "") for line in textwrap.wrap(report.command_note, 165)]
    command = textwrap.wrap(report.command, 150, break_on_hyphens=False)
    lines += [(line, "code") for line in command[:4]]
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines += [(line, "") for line in textwrap.wrap(versions, 165)]
    return lines


def _text(
    figure: "Figure", x: float, y: float, text: str, *, size: float = _TEXT_PT, **style: Any
) -> None:
    # names with dollars are no formulas
    options = {name: value for name, value in style.items() if value is not None}
    figure.text(x, y, text, fontsize=size, va="top", parse_math=False, **options)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
