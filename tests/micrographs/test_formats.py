"""Files that microscopes wrote, against the README beside them and against RosettaSciIO."""

import shutil

import numpy as np
import pytest

from napari_tem_rf.micrographs.reading import ReadingError, read_micrographs

rsciio = pytest.importorskip("rsciio")

EXPECTED = [
    # shapes and pixel sizes as the README of ../shared/data writes them
    ("multi_signal.dm3", (512, 512), "uint16", 0.017751578),
    ("test_STEM_image.dm3", (68, 68), "uint32", 0.248538),
    ("test-2.dm4", (2, 2), "float32", None),
    ("FFTComplexEven.emd", (128, 128), "uint16", 27.1153),
    ("Si100_2x1x1_3D.emd", (22, 44), "float32", 0.25),
    ("128x128_TEM_acquire-sum1.emi", (128, 128), "int32", 21.4793),
    ("128x128_TEM_acquire-sum1_1.ser", (128, 128), "int32", 21.4793),
    ("test_loading_image_saved_with_DM.tif", (68, 68), "int32", 168.675),
    ("test_loading_image_saved_with_imageJ.tif", (68, 68), "float32", 168.675),
    ("test_loading_image_saved_with_imageJ_stack.tif", (2, 68, 68), "float32", 168.675),
]


@pytest.mark.parametrize(("name", "shape", "dtype", "size_nm"), EXPECTED)
def test_shape_and_pixel_size_are_the_readmes(formats, name, shape, dtype, size_nm):
    (micrograph,) = read_micrographs(formats / name)
    assert micrograph.pixels.shape == shape
    assert micrograph.pixels.dtype == dtype
    if size_nm is None:
        assert micrograph.pixel_size_nm is None
    else:
        assert micrograph.pixel_size_nm == pytest.approx((size_nm, size_nm), rel=3e-6)


@pytest.mark.parametrize(("name", "shape", "dtype", "size_nm"), EXPECTED)
@pytest.mark.filterwarnings("ignore")  # RosettaSciIO's own, when it reads its own test files
def test_pixels_are_rosettasciios(formats, name, shape, dtype, size_nm):
    from rsciio import digitalmicrograph, emd, tia, tiff

    reader = {"dm3": digitalmicrograph, "dm4": digitalmicrograph, "emd": emd, "emi": tia}
    module = {**reader, "ser": tia, "tif": tiff}[name.rpartition(".")[2]]
    signals = [
        signal["data"]
        for signal in module.file_reader(str(formats / name))
        if signal["data"].ndim >= 2 and signal["data"].dtype.kind != "c"
    ]
    (micrograph,) = read_micrographs(formats / name)
    assert len(signals) == 1
    np.testing.assert_array_equal(micrograph.pixels, signals[0])


def test_reciprocal_space_is_refused_with_the_reason(formats):
    with pytest.raises(ReadingError, match=r"reciprocal space \(1/nm\)"):
        read_micrographs(formats / "test_diffraction_pattern.dm3")


def test_a_complex_fft_is_left_out_with_a_note(formats):
    (micrograph,) = read_micrographs(formats / "FFTComplexEven.emd")
    assert micrograph.name == "FFTComplexEven HAADF"
    assert micrograph.notes[0].startswith('"FFTComplexEven Half FFT" is left out: its values are')


def test_a_profile_is_left_out_with_a_note(formats):
    (micrograph,) = read_micrographs(formats / "multi_signal.dm3")
    assert "profile" in micrograph.notes[0]


def test_colour_of_digitalmicrograph_becomes_grey(formats):
    (micrograph,) = read_micrographs(formats / "test-23.dm4")
    assert micrograph.pixels.shape == (2, 2)
    assert micrograph.pixel_size_nm is None
    assert "colour" in micrograph.notes[0]


def test_terms_of_the_microscopes(formats):
    def terms(name):
        return dict(read_micrographs(formats / name)[0].metadata)

    # read by eye from the files' own tags
    assert terms("multi_signal.dm3") == {
        "magnification": 1e7,
        "voltage_kv": 300.0,
        "detector": "DigiScan",
        "microscope": "FEI Tecnai Remote",
        "date": "12/10/2019 3:32:41 PM",
    }
    velox = terms("FFTComplexEven.emd")
    assert velox.pop("defocus_nm") == pytest.approx(-96.3445)
    assert velox == {
        "magnification": 28_500.0,
        "voltage_kv": 300.0,
        "detector": "HAADF",
        "microscope": "Spectra",
        "date": "2022-09-28T00:27:07+00:00",
    }
    tia = terms("128x128_TEM_acquire-sum1.emi")
    assert tia["magnification"] == 5500
    assert tia["voltage_kv"] == 200
    assert tia["detector"] == "BM-Ceta"
    assert terms("128x128_TEM_acquire-sum1_1.ser") == tia
    assert terms("test_loading_image_saved_with_imageJ.tif")["voltage_kv"] == 200


def test_emi_without_its_ser_names_it(formats, tmp_path):
    shutil.copy(formats / "128x128_TEM_acquire-sum1.emi", tmp_path)
    with pytest.raises(ReadingError, match=r"128x128_TEM_acquire-sum1_1\.ser"):
        read_micrographs(tmp_path / "128x128_TEM_acquire-sum1.emi")


def test_ser_alone_opens(formats, tmp_path):
    shutil.copy(formats / "128x128_TEM_acquire-sum1_1.ser", tmp_path)
    (micrograph,) = read_micrographs(tmp_path / "128x128_TEM_acquire-sum1_1.ser")
    assert micrograph.pixel_size_nm == pytest.approx((21.4793, 21.4793), rel=1e-5)
    assert micrograph.metadata == {}


def test_all_series_of_an_emi_come_with_their_numbers(formats, tmp_path):
    name = "a [1]"  # brackets mean something to glob
    shutil.copy(formats / "128x128_TEM_acquire-sum1.emi", tmp_path / f"{name}.emi")
    for number in (1, 2, 10):
        shutil.copy(formats / "128x128_TEM_acquire-sum1_1.ser", tmp_path / f"{name}_{number}.ser")
    found = read_micrographs(tmp_path / f"{name}.emi")
    assert [m.name for m in found] == ["a [1] 1", "a [1] 2", "a [1] 10"]


def test_a_diffraction_of_tia_is_refused(formats, tmp_path):
    emi = (formats / "128x128_TEM_acquire-sum1.emi").read_bytes()
    mode = b"TEM uP SA Zoom Image"
    assert mode in emi
    (tmp_path / "a.emi").write_bytes(emi.replace(mode, b"TEM uP Diffraction  "))
    shutil.copy(formats / "128x128_TEM_acquire-sum1_1.ser", tmp_path / "a_1.ser")
    for name in ("a.emi", "a_1.ser"):
        with pytest.raises(ReadingError, match="reciprocal"):
            read_micrographs(tmp_path / name)
