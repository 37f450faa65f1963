"""Makes the tables of the documents from the descriptions of what plans can be told.

    python docs/tables.py

Each stands between two markers, ``<!-- table: NAME -->`` and ``<!-- end of table -->``; what is
between them is written anew. A test fails where a table is not what this would write.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from napari_tem_rf.comparison import ComparisonSettings
from napari_tem_rf.describing import Setting, settings_of
from napari_tem_rf.exporting import FORMATS, ExportSettings
from napari_tem_rf.measuring.finishing import Finishing
from napari_tem_rf.measuring.populations import PopulationSettings
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.movies import DriftSettings, Limits, Steadying
from napari_tem_rf.protocol import default_plan

DOCS = Path(__file__).parent

PLANS = {
    "training": default_plan(),
    "cleaning": Cleaning(),
    "finishing": Finishing(),
    "particles": Finding(),
    "population": PopulationSettings(),
    "comparison": ComparisonSettings(),
    "export": ExportSettings(),
    "drift": DriftSettings(),
    "steady masks": Steadying(),
    "tracks": Limits(),
}
"""What can be told, by the name of its table."""

_BLOCK = re.compile(
    r"(?P<indent> *)<!-- table: (?P<name>[\w ]+) -->\n.*?<!-- end of table -->", re.DOTALL
)


def settings_table(settings: Sequence[Setting]) -> str:
    """Return a table of settings: title, option, values, default, meaning."""
    lines = ["| setting | option | values | default | meaning |", "|---|---|---|---|---|"]
    lines += [
        "| "
        + " | ".join(
            (each.title, _option(each), _values(each), each.shown(each.default), each.help)
        ).replace("  ", " ")
        + " |"
        for each in settings
    ]
    return "\n".join(lines)


def _option(setting: Setting) -> str:
    return ", ".join(f"`{flag}`" for flag in setting.flag.split("/")) if setting.flag else ""


def _values(setting: Setting) -> str:
    """Return what may be given, as it is shown and, where that differs, as it is typed."""
    if setting.choices is not None and setting.flag:
        return "; ".join(
            title if title == value else f"{title} (`{value}`)"
            for value, title in setting.choices.items()
        )
    if setting.percent:
        return (
            f"{setting.range} (`{setting.typed(setting.least)}` to `{setting.typed(setting.most)}`)"
        )
    return setting.range


def formats_table() -> str:
    """Return the table of the formats that masks, particles and probabilities are written in."""
    titles = {each.name: each for each in settings_of(ExportSettings)}["kind"].choices or {}
    lines = ["| what | ending | format | pixel size |", "|---|---|---|---|"]
    for kind, formats in FORMATS.items():
        for each in formats:
            size = "yes" if each.holds_size else "in the record"
            lines.append(f"| {titles[kind]} | `{each.ending}` | {each.title} | {size} |")
    return "\n".join(lines)


def table(name: str) -> str:
    """Return the table of a name."""
    return formats_table() if name == "formats" else settings_table(settings_of(PLANS[name]))


def with_tables(text: str) -> str:
    """Return a document with its tables written anew."""

    def written(block: re.Match[str]) -> str:
        lines = (f"<!-- table: {block['name']} -->", *table(block["name"]).splitlines())
        return "\n".join(block["indent"] + line for line in (*lines, "<!-- end of table -->"))

    return _BLOCK.sub(written, text)


def main() -> None:
    """Write the tables of all documents."""
    for path in sorted(DOCS.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        new = with_tables(text)
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
