"""Masks out of the window: written with pixel size, and with a record of how they were made."""

from pathlib import Path

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_tem_rf.gui.layers import source_of
from napari_tem_rf.micrographs.writing import write_labels
from napari_tem_rf.provenance import provenance_of, write_provenance
from napari_tem_rf.runs import read_run


def export_mask(
    path: Path,
    labels: NDArray[np.integer],
    pixel_size_nm: tuple[float, float] | None,
    run: Path | None = None,
    image: Image | None = None,
) -> tuple[bool, str]:
    """Write a mask and return whether it went well, and a sentence for the user.

    Parameters
    ----------
    path : Path
        Where to; the ending chooses the format.
    labels : ndarray of int, shape (row, column) or (frame, row, column)
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    run : Path, optional
        The run that predicted the mask: its record is written beside the mask.
    image : Image, optional
        The image that the mask lies on.
    """
    try:
        # the file dialog has asked before it returns a file that exists
        write_labels(path, labels, pixel_size_nm, overwrite=True)
        if run is None:
            return True, f"Written: {path}"
        name = path.name if image is None else image.name
        source = None if image is None else source_of(image)
        record = write_provenance(path, provenance_of(read_run(run), name, source, pixel_size_nm))
    except (OSError, ValueError) as error:
        return False, str(error)
    return True, f"Written: {path}, and how it was made: {record.name}"
