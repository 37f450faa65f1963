"""The report of a comparison: tables as CSV, figures as PNG and SVG, one HTML page with all."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tem_rf.comparison.holdout import HeldOutImage
from napari_tem_rf.comparison.pictures import draw_curves, draw_side_by_side
from napari_tem_rf.comparison.record import Comparison
from napari_tem_rf.comparison.results import SCORES, image_table, network_table, result_table
from napari_tem_rf.figures.quantities import INNER_SCORES, QUANTITIES, words_for
from napari_tem_rf.protocol import Reporter, Stopped
from napari_tem_rf.spreadsheets import csv_of
from napari_tem_rf.storage import write_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["REPORT", "TABLE", "report_on", "write_report", "write_tables"]

TABLE, NETWORKS, IMAGES, REPORT = "table.csv", "networks.csv", "images.csv", "report.html"

_WHOLE = ("receptive_field", "parameters", "seed", "epochs", "best_epoch", "seeds")

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 70rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.says li:first-child { font-weight: 600; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th { cursor: pointer; text-align: left; border-bottom: 2px solid #888; white-space: nowrap; }
td, th { padding: .25rem .6rem; } tbody tr:nth-child(even) { background: #f3f4f6; }
td.number { text-align: right; } tr.suggestion td { background: #fdf0d5; font-weight: 600; }
.wide { overflow-x: auto; } figure { margin: 1rem 0; } figure img { max-width: 100%; }
.curves { display: flex; flex-wrap: wrap; gap: 1rem; } .curves figure { flex: 1 1 28rem; }
figcaption, .small { color: #555; font-size: 13px; }
"""

_SORTING = """
for (const head of document.querySelectorAll("th")) head.onclick = () => {
  const body = head.closest("table").tBodies[0], column = head.cellIndex;
  const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const number = row => parseFloat(value(row));
  const up = head.dataset.up = head.dataset.up === "1" ? "0" : "1";
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [number(a), number(b)];
    const order = isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) || value(a).localeCompare(value(b))
      : x - y;
    return up === "1" ? order : -order;
  });
  body.append(...rows);
};
"""


def write_report(comparison: Comparison, scored: Sequence[HeldOutImage] = ()) -> Path:
    """Write tables, figures and the report into the comparison's folder.

    Parameters
    ----------
    comparison : Comparison
        Complete or not; with one result at least.
    scored : sequence of HeldOutImage
        The held-out images in the order of the record, for the picture of the predictions; without
        them an existing picture is kept.

    Returns
    -------
    Path
        The HTML page: it holds all figures and the table, and needs no other file.

    Raises
    ------
    ValueError
        When nothing is done yet.
    """
    if not comparison.results:
        raise ValueError(
            f'nothing of the comparison "{comparison.folder}" is done yet: continue it first'
        )
    write_tables(comparison)
    curves = draw_curves(comparison)
    pictures = draw_side_by_side(comparison, scored) if scored else _kept(comparison.folder)
    path = comparison.folder / REPORT
    write_text(path, _page(comparison, curves, pictures))
    return path


def report_on(
    comparison: Comparison,
    scored: Sequence[HeldOutImage],
    *,
    report: Reporter,
    stopped: Stopped,
) -> Path:
    """Write the report as `write_report` does; for an engine, drawing takes seconds."""
    return write_report(comparison, scored)


def write_tables(comparison: Comparison) -> None:
    """Write ``table.csv``, ``networks.csv`` and ``images.csv`` into the comparison's folder."""
    for name, table in (
        (TABLE, result_table(comparison.results)),
        (NETWORKS, network_table(comparison.results)),
        (IMAGES, image_table(comparison.results)),
    ):
        write_text(comparison.folder / name, _csv(table))


def _csv(table: "pd.DataFrame") -> str:
    whole = [name for name in _WHOLE if name in table.columns]
    return csv_of(table.astype(dict.fromkeys(whole, "Int64")))


def _kept(folder: Path) -> dict[str, str]:
    there = (folder / "side_by_side.png").is_file()
    return {"side_by_side": "Held-out images and predictions."} if there else {}


def _page(comparison: Comparison, curves: dict[str, str], pictures: dict[str, str]) -> str:
    says = comparison.findings
    parts = [
        f"<h1>Comparison of networks: {escape(comparison.folder.resolve().name)}</h1>",
        '<h2>What it says</h2><ul class="says">',
        *(f"<li>{escape(sentence)}.</li>" for sentence in says.sentences),
        "</ul>",
        _progress(comparison),
        "<h2>Scores and costs</h2>",
        '<p class="small">Means over seeds and held-out images; ± is the standard deviation over '
        "the seeds where there are several. The suggestion is marked. Click a head to sort.</p>",
        _networks_html(comparison, says.suggestion),
        *_inner_html(comparison, says.suggestion),
        '<div class="curves">',
        *(_figure(comparison.folder, name, what) for name, what in curves.items()),
        "</div>",
        *(_figure(comparison.folder, name, what, "png") for name, what in pictures.items()),
        "<h2>Every training</h2>",
        _html(_shown(result_table(comparison.results))),
        _download(comparison.folder, TABLE),
        "<h2>Every held-out image</h2>",
        _html(_shown(image_table(comparison.results), images=True)),
        _download(comparison.folder, IMAGES),
        "<h2>How it was made</h2>",
        _method(comparison),
    ]
    title = escape(comparison.folder.resolve().name)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + f"\n<script>{_SORTING}</script></body></html>\n"
    )


def _progress(comparison: Comparison) -> str:
    left_out = "".join(
        f"<p>The {escape(each.contestant.name)} is left out: {escape(each.note)}.</p>"
        for each in comparison.left_out
    )
    said = [f"{escape(name)}: {escape(why)}" for name, why in comparison.failed]
    failed = {name for name, _ in comparison.failed}
    waiting = [
        f"{each.name}, seed {each.seed}"
        for each in comparison.missing
        if f"{each.name}, seed {each.seed}" not in failed
    ]
    if waiting:
        said.append(f"not done yet: {escape('; '.join(waiting))}")
    if not said:
        return left_out
    return f"{left_out}<p>Not complete. {'<br>'.join(said)}</p>"


def _networks_html(comparison: Comparison, suggestion: str | None) -> str:
    table = network_table(comparison.results)
    shown = ["name", "receptive_field", "parameters", "seeds", *_given_scores(table)]
    shown += [
        "macs_per_pixel",
        "train_seconds",
        "predict_seconds_per_megapixel",
        "predict_memory_mib",
    ]
    return _html(table, shown, suggestion)


def _inner_html(comparison: Comparison, suggestion: str | None) -> tuple[str, ...]:
    """Return the scores without particles at the border; nothing where there are no others."""
    table = network_table(comparison.results)
    known = [score for score in INNER_SCORES if table[score].notna().any()]
    if not known:
        return ()
    return (
        "<h2>Without particles at the border</h2>",
        '<p class="small">Cut particles have neither their size nor, often, a fair partner: here '
        "those that touch the image's border, or the edge of what is annotated, are left out, with "
        "their partners.</p>",
        _html(table, ["name", *known], suggestion),
    )


def _shown(table: "pd.DataFrame", images: bool = False) -> "pd.DataFrame":
    kept = ["name", "seed", *(["image"] if images else []), *_given_scores(table)]
    if not images:
        kept += ["train_seconds", "predict_seconds_per_megapixel", "epochs", "best_epoch"]
    return table[kept]


def _given_scores(table: "pd.DataFrame") -> list[str]:
    """Return the scores that are known; the boundary error in nm where it can be."""
    shown = (score for score in SCORES if score not in INNER_SCORES)
    known = [score for score in shown if table[score].notna().any()]
    if "boundary_error_nm" in known and "boundary_error_px" in known:
        known.remove("boundary_error_px")
    return known


def _html(
    table: "pd.DataFrame", columns: Sequence[str] | None = None, suggestion: str | None = None
) -> str:
    columns = list(table.columns) if columns is None else columns
    heads = "".join(f"<th>{escape(words_for(c))}</th>" for c in columns)
    rows = []
    for _, row in table.iterrows():
        cells = []
        for column in columns:
            spread = row.get(f"{column}_sd_seeds")
            cells.append(_cell(column, row[column], spread))
        marked = ' class="suggestion"' if suggestion and row["name"] == suggestion else ""
        rows.append(f"<tr{marked}>{''.join(cells)}</tr>")
    body = "\n".join(rows)
    return (
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _cell(column: str, value: object, spread: object) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    number = float(value)  # type: ignore[arg-type]
    if number != number:
        return '<td class="number"></td>'
    if column in _WHOLE:
        text = f"{number:,.0f}" if column == "parameters" else f"{number:.0f}"
    elif column in SCORES:
        quantity = QUANTITIES[column]
        text = f"{number:{'+' if quantity.is_signed else ''}.{quantity.decimals}f}"
        if isinstance(spread, float) and spread == spread:
            text += f" ± {spread:.{quantity.decimals}f}"
    else:
        text = f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
    return f'<td class="number" data-value="{number!r}">{text}</td>'


def _figure(folder: Path, name: str, what: str, ending: str = "svg") -> str:
    kind = {"svg": "image/svg+xml", "png": "image/png"}[ending]
    data = base64.b64encode((folder / f"{name}.{ending}").read_bytes()).decode()
    return (
        f'<figure><img src="data:{kind};base64,{data}" alt="{escape(what)}">'
        f"<figcaption>{escape(what)}</figcaption></figure>"
    )


def _download(folder: Path, name: str) -> str:
    data = base64.b64encode((folder / name).read_bytes()).decode()
    return f'<p><a download="{name}" href="data:text/csv;base64,{data}">{name}</a></p>'


def _method(comparison: Comparison) -> str:
    record = comparison.record
    plan = record.plan
    training = plan.training
    length = [f"{training.epochs} epochs"] if training.epochs else []
    length += [f"{training.seconds:g} s"] if training.seconds else []
    size = record.pixel_size_nm
    zeros = "not annotated" if plan.unlabelled == "ignore" else "background"
    lines = [
        f"{len(record.images)} labelled images; zeros are {zeros}; "
        + ("no common pixel size" if size is None else f"{size:.4g} nm a pixel"),
        f"Held out for the scores, the same for all: {record.split['sentence']}",
        "Scores are of finished masks: outlines smoothed, specks left out and holes filled, each "
        "as its annotation suggests"
        if record.plan.finish
        else "Scores are of masks as the networks decided them, pixel by pixel",
        f"Each training: preset {training.preset}, at most {' or '.join(length)}; "
        f"{training.validation:.0%} of the training part chooses the epoch, the held-out part "
        "never does",
        f"Seeds {', '.join(map(str, plan.seeds))}; pixels cleaned: {plan.cleaning.sentence}",
        "Baselines learn from the same training part, without one to choose an epoch from",
        "Dice = (2 |A and B| + 1) / (|A| + |B| + 1) of the foreground, an image at a time; "
        "object F1 counts particles that meet at an IoU of 0.5 (or 0.75), AP is those over all "
        "that meet, are missed or made up; panoptic quality is object F1 times the mean IoU of "
        "those that meet; count error and diameter bias (of the mean) are signed",
        f"{words_for(plan.decides)} decides; two are compared image by image: a difference is told "
        "where its 95 % interval (Student's t, spread over images and seeds) leaves out 0, and two "
        "are as good where their figures differ by at most 0.01, 1 %, or a twentieth of a length; "
        "images needed are for a power of 0.8",
        "Times and memory are this machine's; memory is of a tile's feature maps (networks) or of "
        "all arrays for one image (baselines)",
        f"Made {record.created} with "
        + ", ".join(f"{name} {version}" for name, version in record.versions.items()),
    ]
    if record.split.get("note"):
        lines.insert(2, str(record.split["note"]))
    return "<ul>" + "".join(f"<li>{escape(line)}.</li>" for line in lines) + "</ul>"
