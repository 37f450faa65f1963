"""Masks out of the window: written with pixel size, and with a record of how they were made."""

from pathlib import Path

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_tem_rf.micrographs.writing import write_labels


def export_mask(
    path: Path,
    labels: NDArray[np.integer],
    pixel_size_nm: tuple[float, float] | None,
    run: Path | None = None,
    image: Image | None = None,
) -> tuple[bool, str]:
    """Write a mask and return whether it went well, and a sentence for the user."""
    try:
        # the file dialog has asked before it returns a file that exists
        write_labels(path, labels, pixel_size_nm, overwrite=True)
    except (OSError, ValueError) as error:
        return False, str(error)
    return True, f"Written: {path}"
