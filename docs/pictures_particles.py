"""Makes the picture of the report in particles.md: the real command on the sample's true masks.

    python docs/pictures_particles.py [--out docs/pictures]

Needs Ghostscript (`gs`), which turns the sheet into a picture.
"""

import argparse
import shutil
import subprocess
import tempfile
from contextlib import chdir, suppress
from pathlib import Path

from PIL import Image

from napari_tem_rf.cli import main as command

SAMPLE = Path(__file__).parents[1] / "sample_data" / "high_resolution"
WIDTH_DPI = 100


def write_report(folder: Path) -> Path:
    """Write the report on the whole particles of the high-resolution sample, and return it."""
    for name in ("labels", "images"):
        shutil.copytree(SAMPLE / name, folder / name)
    with chdir(folder), suppress(SystemExit):
        options = ("--smallest", "100", "--no-border", "--report", "report.pdf")
        command(["measure", "labels", "--images", "images", *options])
    return folder / "report.pdf"


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    options = parser.parse_args()
    program = shutil.which("gs")
    if program is None:
        raise SystemExit("Ghostscript (gs) is not installed: it turns the sheet into a picture")
    with tempfile.TemporaryDirectory() as folder:
        sheet, page = write_report(Path(folder)), Path(folder, "page.png")
        # four times as fine, then smaller: letters of a sheet are smooth so
        device = ("-q", "-sDEVICE=png16m", f"-r{4 * WIDTH_DPI}")
        subprocess.run([program, *device, "-o", str(page), str(sheet)], check=True)
        picture = Image.open(page).reduce(4)
        colors = picture.quantize(128, dither=Image.Dither.NONE)
        colors.save(options.out / "particle_report.png", optimize=True)


if __name__ == "__main__":
    main()
