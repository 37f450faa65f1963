"""The commands that make a report again, for particles that were found in the window."""

import shlex
from pathlib import Path
from typing import Any

from napari_tem_rf.describing import settings_of
from napari_tem_rf.measuring.populations import PopulationSettings
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.micrographs.reading import image_name

__all__ = ["command_for"]

_PROGRAM = "napari-tem-rf"


def command_for(
    report: Path,
    settings: PopulationSettings,
    finding: Finding | None,
    *,
    mask: Path | None,
    run: Path | None,
    image: Path | None,
    by_hand: bool,
    lattice: bool,
) -> tuple[str, str]:
    """Return the command line that makes a report again, and what has to be done before.

    Parameters
    ----------
    report : Path
    settings : PopulationSettings
    finding : Finding, optional
        How the particles were found; None where that is not known.
    mask, image : Path, optional
        Files of the mask and of the image; None where a layer comes from none.
    run : Path, optional
        The run that predicted the mask.
    by_hand : bool
        Whether particles were corrected: the mask alone does not make them again.
    lattice : bool
        Whether lattices were measured.
    """
    behind = ["--images", str(image)] if image is not None else []
    if image is not None:
        behind.append("--lattice" if lattice else "--no-lattice")
    behind += [*_options(settings), "--report", report.name]
    if finding is not None and not by_hand:
        measured = [*_options(finding), *behind]
        if mask is not None:
            return shlex.join([_PROGRAM, "measure", str(mask), *measured]), ""
        if run is not None and image is not None:
            predict = shlex.join([_PROGRAM, "predict", str(run), str(image), "--out", "masks"])
            measure = shlex.join([_PROGRAM, "measure", "masks", *measured])
            return f"{predict} && {measure}", ""
    # a mask is matched to its image by its name
    written = Path("particles.tif" if image is None else f"particles/{image_name(image)}.tif")
    note = f"Write the particles with Export... first, as {written.as_posix()}."
    numbered = ["--no-split", "--smallest", "1", *behind]
    return shlex.join([_PROGRAM, "measure", written.as_posix(), *numbered]), note


def _options(plan: Any) -> list[str]:
    """Return the options of the settings that are not the default."""
    defaults = {each.name: each.default for each in settings_of(type(plan))}
    words: list[str] = []
    for setting in settings_of(plan):
        if setting.flag and setting.default != defaults[setting.name]:
            typed = setting.typed(setting.default)
            words += [typed] if setting.kind == "bool" else [setting.flag, typed]
    return words
