"""Image layers as series that are predicted on disk."""

from napari.layers import Image

from napari_tem_rf.gui.layers.layers import frame_pixels, pixel_size_nm, source_of
from napari_tem_rf.micrographs.micrograph import Micrograph

__all__ = ["micrograph_of_layer"]


def micrograph_of_layer(image: Image) -> Micrograph:
    """Return an image layer as a micrograph; a lazy one stays lazy."""
    data = image.data[0] if image.multiscale else image.data
    return Micrograph(
        pixels=data if not image.rgb else frame_pixels(image),
        name=str(image.name),
        pixel_size_nm=pixel_size_nm(image),
        source=source_of(image),
    )
