"""Small files of published formats that are easily read wrong, each with what is right for it.

They are written by ``make_cases.py`` of ../shared/cases, whose README says where each value comes
from; the kinds that they are examples of are tested beside this file, with files of our own.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_tem_rf.micrographs.reading import ReadingError, read_labels, read_micrographs

MAKE = Path(__file__).resolve().parents[3] / "shared" / "cases" / "make_cases.py"

pytestmark = pytest.mark.skipif(not MAKE.is_file(), reason="no ../shared/cases")

IMAGE, STACK, PAIR = (40, 56), (5, 40, 56), (2, 40, 56)
NM = (0.4, 0.2)

RIGHT = [
    ("f01_emd_stack_zyx.emd", STACK, "uint8", NM),
    ("f01_emd_image_yx.emd", IMAGE, "uint8", NM),
    ("f01_emd_image_xy.emd", IMAGE, "uint8", NM),
    ("f01_emd_stack_xyz.emd", STACK, "uint8", NM),
    ("f02_emd_unit_n_m.emd", IMAGE, "uint8", NM),
    ("f02_emd_unit_u_m.emd", IMAGE, "uint8", NM),
    ("f02_emd_unit_microns.emd", IMAGE, "uint8", NM),
    ("f02_emd_unit_mu.emd", IMAGE, "uint8", NM),
    ("f03_velox_image_and_eds.emd", IMAGE, "uint16", (0.6, 0.6)),
    ("f03_velox_image.emd", IMAGE, "uint16", (0.6, 0.6)),
    ("f04_imod_unsigned_bytes.mrc", (3, 40, 56), "uint8", (0.6, 0.6)),
    ("f04_imod_signed_bytes.mrc", (3, 40, 56), "int8", (0.6, 0.6)),
    ("f08_mrc_columns_along_y.mrc", IMAGE, "float32", (0.2, 0.5)),
    ("f08_mrc_columns_along_z.mrc", (4, 40, 56), "float32", (0.8, 0.3)),
    ("f09_mrc_negative_cell.mrc", IMAGE, "int16", None),
    ("f09_mrc_fei_extended_named.mrc", PAIR, "int16", (0.7, 0.7)),
    ("f09_mrc_fei_extended_unnamed.mrc", PAIR, "int16", (0.7, 0.7)),
    ("f12_series_in_group_0_04.zarr", (3, 40, 56), "uint8", NM),
    ("f12_series_in_group_0_05.zarr", (3, 40, 56), "uint8", NM),
    ("f12_series_in_group_0_04.zarr/0", (3, 40, 56), "uint8", NM),
    ("f12_image_with_labels.ome.zarr", IMAGE, "uint8", NM),
    ("f12_version_01.zarr", IMAGE, "uint8", None),
    ("f14_imagej_nm_px.tif", IMAGE, "uint8", (0.4, 0.4)),
    ("f14_imagej_nm_pixel.tif", IMAGE, "uint8", (0.4, 0.4)),
    ("f14_emd_nm_px.emd", IMAGE, "uint8", NM),
    ("f16_big_endian_no_stamp.mrc", IMAGE, "int16", (0.4, 0.4)),
    ("f16_mrc_by_another_name.st", IMAGE, "int16", (0.4, 0.4)),
    ("f16_mrc_by_another_name.map", IMAGE, "int16", (0.4, 0.4)),
    ("f16_mrc_by_another_name.rec", IMAGE, "int16", (0.4, 0.4)),
    ("f16_mrc_by_another_name.ali", IMAGE, "int16", (0.4, 0.4)),
]


@pytest.fixture(scope="module")
def make_cases():
    spec = importlib.util.spec_from_file_location("make_cases", MAKE)
    module = importlib.util.module_from_spec(spec)
    # nothing is written beside the script
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


@pytest.fixture(scope="module")
def cases(make_cases, tmp_path_factory):
    out = tmp_path_factory.mktemp("cases")
    kinds = {name[:4] for name, *_ in RIGHT}
    # of the sentences only the MRC files, not the image of 182 megapixels
    for make in make_cases.CASES:
        if make.__name__[:4] in kinds - {"f16_"}:
            make(out)
    signed = make_cases.ramp().astype(np.int16) * 50 - 3000
    path = out / "f16_big_endian_no_stamp.mrc"
    make_cases.write_mrc(path, signed, angstrom=4, order=">", stamp=False)
    for ending in (".st", ".map", ".rec", ".ali"):
        make_cases.write_mrc(out / f"f16_mrc_by_another_name{ending}", signed, angstrom=4)
    return out


@pytest.mark.parametrize(("name", "shape", "dtype", "size_nm"), RIGHT)
def test_shape_type_and_size(cases, name, shape, dtype, size_nm):
    (micrograph,) = read_micrographs(cases / name)
    assert micrograph.pixels.shape == shape
    assert micrograph.pixels.dtype == dtype
    expected = None if size_nm is None else pytest.approx(size_nm, rel=1e-6)
    assert micrograph.pixel_size_nm == expected


def test_pixels_are_as_stored(cases, make_cases):
    ramp = make_cases.ramp()

    def pixels(name):
        return read_micrographs(cases / name)[0].pixels

    for name in ("f01_emd_image_yx.emd", "f01_emd_image_xy.emd", "f03_velox_image_and_eds.emd"):
        np.testing.assert_array_equal(pixels(name), ramp)
    np.testing.assert_array_equal(pixels("f01_emd_stack_zyx.emd")[4], ramp // 5)
    np.testing.assert_array_equal(pixels("f04_imod_unsigned_bytes.mrc")[1], 240 - ramp)
    np.testing.assert_array_equal(pixels("f04_imod_signed_bytes.mrc")[0], ramp.astype(int) - 120)
    np.testing.assert_array_equal(pixels("f08_mrc_columns_along_z.mrc")[3], ramp // 4)
    np.testing.assert_array_equal(pixels("f12_series_in_group_0_05.zarr")[2], ramp // 3)
    np.testing.assert_array_equal(pixels("f16_big_endian_no_stamp.mrc"), ramp * 50.0 - 3000)


@pytest.mark.parametrize("name", ["f02_emd_unit_per_n_m.emd", "f14_imagej_per_nm.tif"])
def test_reciprocal_space_stays_refused(cases, name):
    with pytest.raises(ReadingError, match="reciprocal space"):
        read_micrographs(cases / name)


def test_labels_under_an_image(cases, make_cases):
    labels = read_labels(cases / "f12_image_with_labels.ome.zarr" / "labels" / "particles")
    np.testing.assert_array_equal(labels, make_cases.three_squares())
