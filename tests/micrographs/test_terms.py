"""What microscopes write beside the pixels, in each format under one name and in one unit.

Where a format says a unit the right value follows from it: V of DigitalMicrograph, FEI and JEOL, kV
of TIA and HyperSpy, metres of defocus (Velox, FEI's MRC) and micrometres of it (TIA), electrons per
square metre (FEI's MRC) and per square angstrom (TVIPS).
"""

import json
import struct
from types import SimpleNamespace

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
from mrcfile.dtypes import get_ext_header_dtype

from napari_tem_rf.micrographs.micrograph import dose_in
from napari_tem_rf.micrographs.reading import read_micrographs
from napari_tem_rf.micrographs.terms import microscope_terms, tag_at
from napari_tem_rf.micrographs.tiff_calibration import calibrations, same_steps

GREY = (np.arange(23 * 31).reshape(23, 31) * 7 % 241).astype(np.uint8)


def one(path):
    (micrograph,) = read_micrographs(path)
    return micrograph


# TIFF


def tiff_with(path, *tags, **more):
    tifffile.imwrite(path, GREY, extratags=list(tags), **({"metadata": None} | more))
    return one(path)


def fei(*lines):
    return 34682, "s", 0, "\r\n".join(lines) + "\r\n", True


@pytest.mark.parametrize(
    ("lines", "terms"),
    [
        # the section that [Beam] names holds the values, and what stands in both is of [Beam]
        (["[EBeam]", "HV=30000"], {"voltage_kv": 30.0}),
        (["[Beam]", "HV=80000", "[EBeam]", "HV=30000"], {"voltage_kv": 80.0}),
        (["[User]", "Date=01/02/2020"], {"date": "01/02/2020"}),
        (["[User]", "Time=10:20:30"], {}),
        (["[User]", "Date=01/02/2020", "Time=10:20"], {"date": "01/02/2020 10:20"}),
        (["[Detectors]", "Name= ETD "], {"detector": "ETD"}),
        (["[Detectors]", "Number=1"], {}),
    ],
    ids=["EBeam", "both beams", "date", "time alone", "date and time", "detector", "none"],
)
def test_fei_tiff(tmp_path, lines, terms):
    scan = ["[Scan]", "PixelWidth=2e-9", "PixelHeight=4e-9"]
    found = tiff_with(tmp_path / "a.tif", fei(*lines, *scan))
    assert found.metadata == terms
    assert found.pixel_size_nm == pytest.approx((4, 2))


def test_fei_tiff_in_the_older_tag(tmp_path):
    """Helios and Quanta write tag 34680, Titan and Tecnai 34682; a file may hold both."""
    _, kind, count, text, once = fei("[Beam]", "HV=5000")
    size = fei("[Scan]", "PixelWidth=2e-9", "PixelHeight=4e-9")
    found = tiff_with(tmp_path / "a.tif", (34680, kind, count, text, once), size)
    assert found.metadata == {"voltage_kv": 5.0}
    assert found.pixel_size_nm == pytest.approx((4, 2))


@pytest.mark.parametrize(
    ("lines", "terms"),
    [
        (["AP_ACTUALKV", "EHT = 20.00 kV"], {"voltage_kv": 20.0}),
        (["AP_MANUALKV", "EHT Target = 500 V"], {"voltage_kv": 0.5}),
        (["AP_MANUALKV", "EHT Target = 15.00 kV"], {"voltage_kv": 15.0}),
        # what was measured goes before what was asked for
        (["AP_MANUALKV", "EHT = 15 kV", "AP_ACTUALKV", "EHT = 14.9 kV"], {"voltage_kv": 14.9}),
        (["DP_DETECTOR_TYPE", "Detector = InLens"], {"detector": "InLens"}),
        (["AP_DATE", "Date :17 Mar 2021"], {"date": "17 Mar 2021"}),
    ],
    ids=["kV", "V", "asked for", "measured", "detector", "date"],
)
def test_zeiss_tiff(tmp_path, lines, terms):
    text = "\r\n".join(["0", *lines, "AP_PIXEL_SIZE", "Pixel Size = 2.5 nm", ""]).encode("cp1252")
    found = tiff_with(tmp_path / "a.tif", (34118, 7, len(text), text, True))
    assert found.metadata == terms
    assert found.pixel_size_nm == pytest.approx((2.5, 2.5))


def tvips(**values):
    """Return tag 37706 as tifffile knows it: version 2, its texts in UTF-16, sizes in nm."""
    first = np.zeros(1, tifffile.TIFF.TVIPS_HEADER_V1)
    first["Version"] = 2
    second = np.zeros(1, tifffile.TIFF.TVIPS_HEADER_V2)
    second["Magic"] = 0xAAAAAAAA
    for name, value in values.items():
        field = second[name]
        second[name] = (
            np.frombuffer(value.encode("utf-16-le").ljust(field.itemsize, b"\0"), field.dtype)
            if isinstance(value, str)
            else value
        )
    data = first.tobytes() + second.tobytes()
    return 37706, 7, len(data), data, True


def test_tvips_tiff(tmp_path):
    found = tiff_with(
        tmp_path / "a.tif",
        tvips(
            **{"PixelSizeX": 0.25, "PixelSizeY": 0.5, "TemHighTension": 200_000.0},
            **{"TemMagnification": 50_000.0, "Dose": 20.0, "CameraType": "TemCam-F416"},
        ),
    )
    assert found.pixel_size_nm == pytest.approx((0.5, 0.25))
    assert found.metadata == {
        **{"voltage_kv": 200.0, "magnification": 50_000.0, "dose": 20.0},
        "detector": "TemCam-F416",
    }
    assert found.dose == 20
    # EM-Menu writes 0, and nothing, where it knows nothing
    unknown = tiff_with(tmp_path / "b.tif", tvips())
    assert (unknown.metadata, unknown.pixel_size_nm, unknown.notes) == ({}, None, ())


JEOL = """<?xml version="1.0"?><TemReporter><ElectronGun><AccelerationVoltage>120000
</AccelerationVoltage></ElectronGun><ImageFormingSystem><ModeString>{mode}</ModeString>
<SelectorValue>{value}</SelectorValue></ImageFormingSystem></TemReporter>"""


@pytest.mark.parametrize(
    ("mode", "unit", "per_unit", "size_nm", "terms"),
    [
        # 1 / 500 cm = 20 µm on the camera, / 40,000 = 0.5 nm
        ("MAG", "CENTIMETER", (500, 500), (0.5, 0.5), {"magnification": 40_000.0}),
        ("MAG", "INCH", (1270, 2540), (0.25, 0.5), {"magnification": 40_000.0}),
        # without a unit JEOL's are per cm
        ("MAG", "NONE", (500, 250), (1, 0.5), {"magnification": 40_000.0}),
        ("LOWMAG", "CENTIMETER", (500, 500), None, {}),
    ],
    ids=["cm", "inch", "no unit", "another mode"],
)
def test_jeol_tiff(tmp_path, mode, unit, per_unit, size_nm, terms):
    found = tiff_with(
        tmp_path / "a.tif",
        (271, 2, 0, "JEOL Ltd.", True),
        description=JEOL.format(mode=mode, value=40_000),
        resolution=per_unit,
        resolutionunit=unit,
        datetime="2021:05:06 07:08:09",
    )
    expected = None if size_nm is None else pytest.approx(size_nm)
    assert found.pixel_size_nm == expected
    assert found.metadata == {"voltage_kv": 120.0, "date": "2021:05:06 07:08:09", **terms}


INFO = """Microscope Info.Voltage = 200000
Microscope Info.Indicated Magnification = 40000
Microscope Info.Name = Titan
DataBar.Device Name = UltraScan
DataBar.Acquisition Date = 7/8/2019
"""
OF_INFO = {
    **{"voltage_kv": 200.0, "magnification": 40_000.0, "microscope": "Titan"},
    **{"detector": "UltraScan", "date": "7/8/2019"},
}


@pytest.mark.parametrize(
    ("said", "terms"),
    [
        ({"Info": INFO}, OF_INFO),
        ({"Labels": [INFO, "other"]}, OF_INFO),
        # what stands for the whole file goes before what stands on a slice
        ({"Info": "Microscope Info.Voltage = 80000", "Labels": [INFO, ""]}, {"voltage_kv": 80.0}),
        ({"Info": "Microscope Info.Voltage = 80000", "finterval": 0.5}, {"voltage_kv": 80.0}),
        ({"Info": "no tags"}, {}),
    ],
    ids=["info", "label", "both", "interval", "none"],
)
def test_imagej_tiff(tmp_path, said, terms):
    if "finterval" in said:
        terms = {**terms, "frame_interval_s": 0.5}
    stack = np.stack([GREY, GREY // 2])
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "TYX", **said})
    assert one(tmp_path / "a.tif").metadata == terms


OME = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" '
    'Name="gold">{date}<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="31" '
    'SizeY="23" SizeZ="1" SizeC="1" SizeT="2" {size}><Channel ID="Channel:0:0" '
    'SamplesPerPixel="1"/><TiffData/>{planes}</Pixels></Image></OME>'
)


@pytest.mark.parametrize(
    ("said", "terms"),
    [
        (
            {"date": "<AcquisitionDate>2021-05-06T07:08:09</AcquisitionDate>"},
            {"date": "2021-05-06T07:08:09"},
        ),
        ({"date": "<AcquisitionDate> </AcquisitionDate>"}, {}),
        # the first of several channels tells the time
        (
            {
                "planes": '<Plane TheT="0" TheC="0" TheZ="0" DeltaT="1"/>'
                '<Plane TheT="0" TheC="1" TheZ="0" DeltaT="8"/>'
                '<Plane TheT="1" TheC="0" TheZ="0" DeltaT="1.5"/>'
            },
            {"frame_interval_s": 0.5},
        ),
        # nor where one frame, or its unit, is missing
        ({"planes": '<Plane TheT="0" TheC="0" TheZ="0" DeltaT="1"/>'}, {}),
        (
            {
                "planes": '<Plane TheT="0" TheC="0" TheZ="0" DeltaT="1" DeltaTUnit="frame"/>'
                '<Plane TheT="1" TheC="0" TheZ="0" DeltaT="2" DeltaTUnit="frame"/>'
            },
            {},
        ),
    ],
    ids=["date", "blank date", "times", "a time is missing", "no unit of time"],
)
def test_ome_tiff(tmp_path, said, terms):
    size = 'PhysicalSizeX="2" PhysicalSizeXUnit="Å" PhysicalSizeY="0.0005"'
    xml = OME.format(**({"date": "", "planes": "", "size": size} | said)).encode()
    stack = np.stack([GREY, GREY // 2])
    tifffile.imwrite(
        tmp_path / "a.ome.tif", stack, description=xml, metadata=None, photometric="minisblack"
    )
    found = one(tmp_path / "a.ome.tif")
    assert found.metadata == terms
    # micrometres where no unit is written: the OME schema's default
    assert found.pixel_size_nm == pytest.approx((0.5, 0.2))


def test_broken_xml_of_ome_is_said_and_hides_no_image():
    page = SimpleNamespace(tags={}, keyframe=None)
    page.keyframe = page
    tiff = SimpleNamespace(is_imagej=False, is_ome=True, ome_metadata="<OME>", pages=[page])
    first, second = calibrations(tiff, [page, page])
    assert first.steps is None
    assert first.notes[0].startswith("the file's calibration cannot be read (")
    assert (second.steps, second.notes) == (None, ())


def bare(row, column, unit=3):
    """Return a page with (row, column) pixels per unit in the resolution tags, and nothing else."""
    tags = {"YResolution": row, "XResolution": column, "ResolutionUnit": unit}
    return SimpleNamespace(tags={name: SimpleNamespace(value=each) for name, each in tags.items()})


def test_another_pixel_size_begins_where_the_tags_say_another():
    """TIFF 6.0: resolution 2 is per inch, 3 per cm; 6.35e7 per inch are 2.5e7 per cm, 0.4 nm."""
    nm_4, nm_4_inch, nm_2 = (
        bare((25_000_000, 1), (25_000_000, 1)),
        bare((63_500_000, 1), (63_500_000, 1), 2),
        bare((50_000_000, 1), (25_000_000, 1)),
    )
    silent = SimpleNamespace(tags={})
    assert same_steps([nm_4, nm_4_inch, nm_4]) == [0]
    assert same_steps([nm_4, nm_2, nm_2, nm_4]) == [0, 1, 3]
    assert same_steps([nm_4, silent, nm_4]) == [0]
    assert same_steps([silent, silent, nm_4]) == [0, 2]
    assert same_steps([]) == []


# MRC


@pytest.mark.parametrize("kind", [b"FEI1", b"FEI2"])
def test_mrc_of_fei(tmp_path, kind):
    """Written by mrcfile; SI units: V, m, electrons per square metre."""
    record = np.zeros(1, get_ext_header_dtype(kind, "<"))
    record["Metadata size"] = record.dtype.itemsize
    for name, value in (
        *(("HT", 300_000.0), ("Dose", 25e20), ("Magnification", 96_000.0), ("Defocus", -1.5e-6)),
        *(("Camera name", b"Falcon 3"), ("Pixel size X", 0.1e-9), ("Pixel size Y", 0.2e-9)),
    ):
        record[name] = value
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(GREY.astype(np.int16))
        file.set_extended_header(record)
        file.header.exttyp = kind
        file.voxel_size = 1
    found = one(tmp_path / "a.mrc")
    assert found.pixel_size_nm == pytest.approx((0.2, 0.1))
    assert found.notes == ("pixel size from the microscope's extended header",)
    assert found.metadata.pop("detector") == "Falcon 3"
    assert found.metadata == pytest.approx(
        {"voltage_kv": 300, "dose": 25, "magnification": 96_000, "defocus_nm": -1500}
    )
    assert found.dose == pytest.approx(25)


def first_fei(size_m=0.0, defocus_m=0.0, magnification=0.0):
    """Return FEI's first extended header: 1024 records of 32 numbers, of which these are three."""
    records = np.zeros((1024, 32), "<f4")
    records[0, 7], records[0, 11], records[0, 12] = defocus_m, size_m, magnification
    return np.frombuffer(records.tobytes(), "V1")


def mrc_with(path, extended, kind, angstrom=1.0):
    with mrcfile.new(path) as file:
        file.set_data(GREY.astype(np.int16))
        file.set_extended_header(extended)
        file.header.exttyp = kind
        file.voxel_size = angstrom
    return one(path)


NONE = "no pixel size: the microscope wrote none, and 1 Å a pixel in its place"
OTHER = "pixel size from the microscope's extended header"


@pytest.mark.parametrize(
    ("kind", "numbers", "size_nm", "terms", "notes"),
    [
        (b"AGAR", {}, None, {}, (NONE,)),
        # with no name, no size and no magnification it may be anybody's
        (b"\0\0\0\0", {}, 0.1, {}, ()),
        (b"\0\0\0\0", {"magnification": 5e4}, None, {"magnification": 5e4}, (NONE,)),
        (b"AGAR", {"size_m": 2e-9}, 2.0, {}, (OTHER,)),
        (b"    ", {"size_m": 2e-9}, 2.0, {}, (OTHER,)),
        (b"    ", {"size_m": 5e-11}, 0.05, {}, (OTHER,)),
        # numbers that no microscope has
        (b"AGAR", {"size_m": 1e-14, "magnification": 5e4}, None, {}, (NONE,)),
        (b"    ", {"size_m": 1e-14, "magnification": 5e4}, 0.1, {}, ()),
        (b"    ", {"size_m": 2e-4, "magnification": 5e4}, 0.1, {}, ()),
        (b"    ", {"size_m": -2e-9, "magnification": 5e4}, 0.1, {}, ()),
        (b"AGAR", {"size_m": 2e-9, "magnification": -1}, 2.0, {}, (OTHER,)),
        (b"AGAR", {"size_m": 2e-9, "magnification": float("inf")}, 2.0, {}, (OTHER,)),
        (b"AGAR", {"size_m": 2e-9, "defocus_m": -3e-7}, 2.0, {"defocus_nm": -300.0}, (OTHER,)),
        (b"AGAR", {"size_m": 2e-9, "defocus_m": 9e-4}, 2.0, {"defocus_nm": 9e5}, (OTHER,)),
        (b"AGAR", {"size_m": 2e-9, "defocus_m": 2e-3}, 2.0, {}, (OTHER,)),
    ],
)
def test_mrc_with_feis_first_extended_header(tmp_path, kind, numbers, size_nm, terms, notes):
    found = mrc_with(tmp_path / "a.mrc", first_fei(**numbers), kind)
    expected = None if size_nm is None else pytest.approx((size_nm, size_nm))
    assert found.pixel_size_nm == expected
    assert found.metadata == pytest.approx(terms)
    assert found.notes == notes


@pytest.mark.parametrize("angstrom", [1.0, 1.000005, 1.00002, 3.0])
def test_what_the_header_proper_says_besides_1_angstrom_is_believed(tmp_path, angstrom):
    found = mrc_with(tmp_path / "a.mrc", first_fei(magnification=5e4), b"AGAR", angstrom)
    if angstrom < 1.00001:
        assert (found.pixel_size_nm, found.notes) == (None, (NONE,))
    else:
        assert found.pixel_size_nm == pytest.approx((angstrom / 10, angstrom / 10))
        assert found.notes == ()


# TIA


EMI = """binary <ObjectInfo><ExperimentalDescription><Root>
<Data><Label>Magnification</Label><Value>5500</Value><Unit>x</Unit></Data>
<Data><Label>High tension</Label><Value>200</Value><Unit>kV</Unit></Data>
<Data><Label>Defocus</Label><Value>-1.25</Value><Unit>um</Unit></Data>
<Data><Label>Microscope</Label><Value> Tecnai 200 kV </Value></Data>
<Data><Label>Mode</Label><Value>{mode}</Value></Data>
</Root></ExperimentalDescription><AcquireDate>Fri May 07 2021</AcquireDate>
<AcquireInfo>{camera}</AcquireInfo></ObjectInfo> more binary"""
CAMERA = "<CameraNamePath>BM-Ceta</CameraNamePath>"


def write_ser(path, step_m=(4e-10, 2e-10), kind=0x4122):
    """Write one frame by the layout of Chris Boothroyd, its first row the lowest."""
    rows, columns = GREY.shape
    head = struct.pack("<HHHIIIIII", 0x4949, 0x0197, 0x0210, kind, 0x4152, 1, 1, 30, 0)
    path.write_bytes(
        head
        + struct.pack("<II", 38, 0)
        + struct.pack("<ddIddIHII", 0, step_m[1], 0, 0, step_m[0], 0, 1, columns, rows)
        + GREY[::-1].tobytes()
    )


def test_tia(tmp_path):
    write_ser(tmp_path / "a_1.ser")
    (tmp_path / "a.emi").write_text(EMI.format(mode="TEM uP SA Zoom Image", camera=CAMERA))
    found = one(tmp_path / "a_1.ser")
    np.testing.assert_array_equal(found.pixels, GREY)
    assert found.pixel_size_nm == pytest.approx((0.4, 0.2))
    assert found.metadata == {
        **{"magnification": 5500.0, "voltage_kv": 200.0, "defocus_nm": -1250.0},
        **{"microscope": "Tecnai 200 kV", "detector": "BM-Ceta", "date": "Fri May 07 2021"},
    }


@pytest.mark.parametrize(
    ("mode", "camera", "is_image"),
    [
        ("TEM uP SA Zoom Image", CAMERA, True),
        ("TEM uP Diffraction", CAMERA, False),
        ("STEM nP SA Zoom Image", "", True),
        # a camera's image under a scanning beam is a pattern
        ("STEM nP SA Zoom Diffraction", CAMERA, False),
        ("STEM nP SA Zoom Diffraction", "", True),
    ],
    ids=["image", "diffraction", "scanned", "pattern of a scan", "scanned in diffraction"],
)
def test_tia_says_by_its_mode_whether_it_is_an_image(tmp_path, mode, camera, is_image):
    write_ser(tmp_path / "a_1.ser")
    (tmp_path / "a.emi").write_text(EMI.format(mode=mode, camera=camera))
    if is_image:
        assert one(tmp_path / "a_1.ser").pixel_size_nm == pytest.approx((0.4, 0.2))
    else:
        with pytest.raises(ValueError, match=r"is left out: it is in reciprocal space \(1/m\)"):
            read_micrographs(tmp_path / "a_1.ser")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_series_of_tia_has_a_description_of_its_own(tmp_path, number):
    write_ser(tmp_path / f"a_{number}.ser")
    texts = [EMI.format(mode="Image", camera="").replace("5500", str(at)) for at in (100, 200)]
    (tmp_path / "a.EMI").write_text("".join(texts))
    metadata = one(tmp_path / f"a_{number}.ser").metadata
    # a third is not described
    assert metadata.get("magnification") == (None if number == 3 else 100 * number)


# trees of tags: DigitalMicrograph and Velox


@pytest.mark.parametrize(
    ("place", "value", "term", "expected"),
    [
        ("Microscope Info.Indicated Magnification", 40_000.0, "magnification", 40_000.0),
        ("CustomProperties.StemMagnification.value", "57000", "magnification", 57_000.0),
        ("Optics.NominalMagnification", "8500", "magnification", 8500.0),
        ("Microscope Info.Voltage", 200_000, "voltage_kv", 200.0),
        ("Optics.AccelerationVoltage", "80000", "voltage_kv", 80.0),
        ("Optics.Defocus", "-1.5e-07", "defocus_nm", -150.0),
        ("DataBar.Exposure Time (s)", 0.25, "exposure_s", 0.25),
        ("DataBar.Device Name", " OneView ", "detector", "OneView"),
        ("BinaryResult.Detector", "HAADF", "detector", "HAADF"),
        ("Microscope Info.Name", "Titan", "microscope", "Titan"),
        ("Instrument.InstrumentModel", "Spectra", "microscope", "Spectra"),
        # what is no number, or no word, is no term
        ("Optics.Defocus", "unknown", None, None),
        ("Optics.Defocus", "nan", None, None),
        ("Optics.Defocus", {"value": 3}, None, None),
        ("DataBar.Device Name", "  ", None, None),
        ("DataBar.Device Name", 7, None, None),
    ],
)
def test_places_in_trees_of_tags(place, value, term, expected):
    tags = value
    for key in reversed(place.split(".")):
        tags = {key: tags}
    found = microscope_terms(tags)
    assert found == ({} if term is None else {term: pytest.approx(expected)})
    assert tag_at(tags, place) == value
    assert tag_at(tags, f"{place}.deeper") is None or isinstance(value, dict)
    assert tag_at(tags, "Elsewhere") is None


def test_of_two_places_the_first_that_is_a_number_counts():
    tags = {
        "Microscope Info": {"Indicated Magnification": 100.0, "Voltage": "no"},
        "Optics": {"NominalMagnification": "200", "AccelerationVoltage": "300000"},
        "DataBar": {"Device Name": "one"},
        "BinaryResult": {"Detector": "two"},
    }
    assert microscope_terms(tags) == {
        **{"magnification": 100.0, "voltage_kv": 300.0, "detector": "one"}
    }


# HyperSpy


@pytest.mark.parametrize(
    ("metadata", "terms"),
    [
        (
            {
                "Acquisition_instrument/TEM": {
                    **{"beam_energy": 200.0, "magnification": 5e4, "microscope": "Titan"}
                },
                "General": {"date": "2020-03-04"},
            },
            {
                **{"voltage_kv": 200.0, "magnification": 5e4, "microscope": "Titan"},
                "date": "2020-03-04",
            },
        ),
        ({"Acquisition_instrument/SEM": {"beam_energy": 5.0}}, {"voltage_kv": 5.0}),
        (
            {
                "Acquisition_instrument/TEM": {"beam_energy": 300.0},
                "Acquisition_instrument/SEM": {"beam_energy": 5.0, "magnification": 7.0},
            },
            {"voltage_kv": 300.0},
        ),
        ({"General": {"time": "10:20"}}, {}),
        ({"General": {"date": "_None_"}}, {}),
        ({"General": {"date": "2020-03-04", "time": "<undefined>"}}, {"date": "2020-03-04"}),
    ],
    ids=["TEM", "SEM", "both", "time alone", "no date", "no time"],
)
def test_hyperspy(tmp_path, metadata, terms):
    """Energies in keV and sizes with their own units (HyperSpy's metadata structure)."""
    with h5py.File(tmp_path / "a.hspy", "w") as file:
        signal = file.create_group("Experiments/__unnamed__")
        signal["data"] = GREY
        for number, (unit, scale) in enumerate((("nm", 0.4), (b"\xc2\xb5m", 2e-4))):
            axis = signal.create_group(f"axis-{number}")
            axis.attrs.update({"scale": scale, "units": unit, "navigate": False})
        for place, values in metadata.items():
            signal.create_group(f"metadata/{place}").attrs.update(values)
    found = one(tmp_path / "a.hspy")
    assert found.metadata == terms
    assert found.pixel_size_nm == pytest.approx((0.4, 0.2))
    assert found.name == "a"


# Velox


def velox_with(path, about):
    packed = np.frombuffer(json.dumps(about).encode().ljust(2000, b"\0"), np.uint8)
    with h5py.File(path, "w") as file:
        said = json.dumps({"version": "11", "format": "Velox"}).encode()
        file["Version"] = np.array([said], dtype=h5py.string_dtype())
        file["Data/Image/0123/Data"] = GREY[:, :, None]
        file["Data/Image/0123/Metadata"] = packed[:, None]
    return one(path)


@pytest.mark.parametrize(
    ("about", "terms"),
    [
        # seconds since 1970, as RosettaSciIO reads them: 86,400 are one day
        (
            {"Acquisition": {"AcquisitionStartDatetime": {"DateTime": "86400"}}},
            {"date": "1970-01-02T00:00:00+00:00"},
        ),
        ({"Acquisition": {"AcquisitionStartDatetime": {"DateTime": "0"}}}, {}),
        ({"Acquisition": {"AcquisitionStartDatetime": {"DateTime": "soon"}}}, {}),
        # of a single image there is no time from frame to frame
        ({"Scan": {"FrameTime": "0.5"}}, {}),
    ],
    ids=["date", "no date", "no number", "one frame"],
)
def test_velox(tmp_path, about, terms):
    size = {"PixelSize": {"width": "2e-10", "height": "4e-10"}}
    size |= {"PixelUnitX": "m", "PixelUnitY": "m"}
    found = velox_with(tmp_path / "a.emd", {**about, "BinaryResult": size})
    assert found.metadata == terms
    assert found.pixel_size_nm == pytest.approx((0.4, 0.2))


# the dose


@pytest.mark.parametrize(
    ("dose", "known"),
    [
        (20, 20.0),
        (0.5, 0.5),
        (0, None),
        (-3, None),
        (True, None),
        ("20", None),
        (999_999_999.0, 999_999_999.0),
        (1e9, None),
        (float("nan"), None),
    ],
)
def test_what_is_believed_of_a_dose(dose, known):
    """Electrons per square angstrom; a billion of them no specimen has seen."""
    assert dose_in({"dose": dose}) == known
    assert dose_in({}) is None
