"""EMD files -> images, of both kinds: Berkeley's and Velox's.

Both are HDF5 and have nothing else in common. What a file holds besides images (spectra, events,
metadata of displays) is not touched, so that none of it stands in an image's way.
"""

from pathlib import Path

from napari_tem_rf.micrographs.berkeley import berkeley_images
from napari_tem_rf.micrographs.hdf5 import open_hdf5
from napari_tem_rf.micrographs.hdf5_check import refuse_too_many_objects
from napari_tem_rf.micrographs.rawimage import RawImage
from napari_tem_rf.micrographs.trial import open_on_trial
from napari_tem_rf.micrographs.velox import is_velox, velox_images

__all__ = ["emd_images", "read_emd"]


def read_emd(path: Path) -> list[RawImage]:
    """Return the images of an .emd file; large series stay on disk."""
    open_on_trial(path, emd_images)
    return emd_images(path)


def emd_images(path: Path) -> list[RawImage]:
    """Return the images as `read_emd` does, without a trial before."""
    with open_hdf5(path) as file:
        refuse_too_many_objects(path, file)
        return velox_images(path, file) if is_velox(file) else berkeley_images(path, file)
