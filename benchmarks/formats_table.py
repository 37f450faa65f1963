"""Each file of ../shared/data/formats as it is read, against the table in that folder's README.

Run from the project's root: ``python benchmarks/formats_table.py``. Exits with 1 where a line is
not right.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from napari_tem_rf.micrographs.reading import ReadingError, read_micrographs

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NM = {"nm": 1.0, "um": 1e3}


@dataclass(frozen=True, slots=True)
class Expected:
    """One line of the README's table."""

    file: str
    shape: tuple[int, ...]
    pixel_size: str

    @property
    def pixel_size_nm(self) -> float | None:
        """The pixel size in nm; None where the README has none, or one of reciprocal space."""
        size = re.match(r"([\d.]+) (um|nm)\b", self.pixel_size)
        return float(size[1]) * NM[size[2]] if size else None


def expected(readme: str) -> list[Expected]:
    lines = []
    for line in readme.split("## What the files in formats/ hold")[1].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 4:
            continue
        shape = re.match(r"\d+(?: x \d+)+", cells[1])
        for file in re.findall(r"[\w.-]+\.(?:dm3|dm4|emd|emi|tif)\b", cells[0]):
            lines.append(Expected(file, tuple(map(int, shape[0].split(" x "))), cells[2]))
    return lines


def compare(line: Expected) -> tuple[bool, str, str, str]:
    """Return whether the file is read right, and shape, pixel size and notes as read."""
    try:
        found = read_micrographs(DATA / "formats" / line.file)
    except ReadingError as error:
        return "1/nm" in line.pixel_size, "refused", "-", str(error)
    first = found[0]
    sizes, wanted = first.pixel_size_nm, line.pixel_size_nm
    right = "1/nm" not in line.pixel_size and len(found) == 1 and first.pixels.shape == line.shape
    if wanted is None:
        right &= sizes is None
    else:
        # the README rounds to six or more digits
        right &= sizes is not None and all(abs(s - wanted) < 5e-6 * wanted for s in sizes)
    shape = f"{first.pixels.shape} {first.pixels.dtype}"
    return right, shape, f"{sizes[0]:.7g}" if sizes else "none", "; ".join(first.notes)


def main() -> int:
    lines = expected((DATA / "README.md").read_text(encoding="utf-8"))
    right = 0
    print(f"{'file':46} {'as read':22} {'nm a pixel':>11} {'README':>26}  right  notes")
    for line in lines:
        good, shape, size, notes = compare(line)
        right += good
        print(f"{line.file:46} {shape:22} {size:>11} {line.pixel_size:>26}  {good!s:5}  {notes}")
    print(f"{right} of {len(lines)} right")
    return int(right < len(lines))


if __name__ == "__main__":
    sys.exit(main())
