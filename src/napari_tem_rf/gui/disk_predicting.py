"""Which image layers are predicted onto the disk, and what such a layer is as a micrograph."""

from napari.layers import Image

from napari_tem_rf.gui.layers import frame_pixels, image_shape, pixel_size_nm, source_of
from napari_tem_rf.micrographs.frames import IN_MEMORY_BYTES
from napari_tem_rf.micrographs.micrograph import Micrograph


def goes_to_disk(image: Image) -> bool:
    """Return whether predictions of an image layer are written to disk and not kept in memory.

    So it is for series that are lazy themselves, and for those whose labels exceed 64 MiB.
    """
    shape = image_shape(image)
    if len(shape) == 2 or image.rgb:
        return False
    data = image.data[0] if image.multiscale else image.data
    pixels = shape[0] * shape[1] * shape[2]
    return pixels > IN_MEMORY_BYTES or not hasattr(data, "__array_interface__")


def micrograph_of_layer(image: Image) -> Micrograph:
    """Return an image layer as a micrograph; a lazy one stays lazy."""
    data = image.data[0] if image.multiscale else image.data
    return Micrograph(
        pixels=data if not image.rgb else frame_pixels(image),
        name=str(image.name),
        pixel_size_nm=pixel_size_nm(image),
        source=source_of(image),
    )
