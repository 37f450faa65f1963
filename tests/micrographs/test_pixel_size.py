"""Whether a pixel size can be a microscope's is asked for every format."""

import math

import mrcfile
import numpy as np
import pytest
import tifffile
import zarr

from napari_tem_rf.micrographs.pixel_size import pixel_size_of
from napari_tem_rf.micrographs.reading import read_micrographs

IMAGE = np.arange(23 * 31, dtype=np.uint8).reshape(23, 31)


@pytest.mark.parametrize(
    ("value", "unit", "nm"),
    [
        (1 / 6.35e7, "inch", 0.4),
        (1 / 2.5e7, "cm", 0.4),
        (0.02, "nm", 0.02),
        (0.5, "pm", 0.0005),
        (2.5, "µm", 2500),
        (-0.4, "nm", 0.4),
    ],
)
def test_a_microscopes_size_stays_in_any_unit(value, unit, nm):
    size, notes = pixel_size_of(((value, unit), (value, unit)))
    assert size == pytest.approx((nm, nm))
    assert not notes


@pytest.mark.parametrize("dpi", [72, 75, 96, 150, 300, 600, 1200, 2400])
@pytest.mark.parametrize(("unit", "per_inch"), [("inch", 1), ("cm", 2.54), ("µm", 25_400)])
def test_dots_per_inch_are_no_pixel_size(dpi, unit, per_inch):
    step = (per_inch / dpi, unit)
    size, notes = pixel_size_of((step, step))
    assert size is None
    assert "dots per inch" in notes[0]


@pytest.mark.parametrize("dpi", [3200, 4800, 9600])
def test_a_scanners_dots_are_told_from_pixels_of_their_size(dpi):
    """9,600 dpi are 2.646 µm; a scanning microscope has pixels of 2.6 µm at its lowest."""
    step = (1 / dpi, "inch")
    size, notes = pixel_size_of((step, step))
    assert size is None
    assert "scanner" in notes[0]
    assert pixel_size_of(((2.6, "µm"), (2.6, "µm")))[0] == pytest.approx((2600, 2600))


@pytest.mark.parametrize("value", [-1, 0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("unit", ["nm", "Å", "µm", None, ""])
def test_unknown_is_unknown_and_no_length(value, unit):
    assert pixel_size_of(((value, unit), (value, unit)))[0] is None
    assert pixel_size_of(((0.4, "nm"), (value, unit)))[0] is None


def test_minus_one_nm_is_unknown_in_other_units():
    assert pixel_size_of(((-10, "Å"), (-10, "Å"))) == (None, ())


def test_lengths_below_an_atom_are_no_pixel_size():
    size, notes = pixel_size_of(((7e-10, "Å"), (7e-10, "Å")))
    assert size is None
    assert "smaller than an atom" in notes[0]


def written(folder, name, nm):
    """Write an image with a pixel size in nm, as programs of each format do."""
    path = folder / name
    if name.endswith(".mrc"):
        with mrcfile.new(path) as mrc:
            mrc.set_data(IMAGE.astype(np.int16))
            mrc.voxel_size = nm * 10
    elif name.endswith(".ome.tif"):
        size = {"PhysicalSizeX": nm / 1000, "PhysicalSizeY": nm / 1000}
        tifffile.imwrite(path, IMAGE, metadata={"axes": "YX", **size})
    elif name.endswith(".tif"):
        per_nm = (1 / nm, 1 / nm)
        tifffile.imwrite(path, IMAGE, imagej=True, resolution=per_nm, metadata={"unit": "nm"})
    else:
        group = zarr.open_group(path, mode="w", zarr_format=2)
        group.create_array("0", shape=IMAGE.shape, dtype=IMAGE.dtype, chunks=IMAGE.shape)[...] = (
            IMAGE
        )
        axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "yx"]
        scale = [{"type": "scale", "scale": [nm, nm]}]
        level = {"path": "0", "coordinateTransformations": scale}
        group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [level]}]
    return path


@pytest.mark.parametrize("name", ["a.mrc", "a.ome.tif", "a.tif", "a.zarr"])
@pytest.mark.parametrize(("nm", "stays"), [(0.4, True), (352_777.8, False), (1e-7, False)])
def test_the_question_is_asked_for_all_formats(tmp_path, name, nm, stays):
    (image,) = read_micrographs(written(tmp_path, name, nm))
    if stays:
        assert image.pixel_size_nm == pytest.approx((nm, nm))
    else:
        assert image.pixel_size_nm is None
        assert any("no pixel size" in note for note in image.notes)
