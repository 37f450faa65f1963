"""Calibration belongs to the page that it stands on, and one bad field hides no good one."""

import struct

import numpy as np
import pytest
import tifffile

from napari_tem_rf.micrographs.reading import ReadingError, read_labels, read_micrographs

SHAPE = (37, 53)
GREY = (np.arange(37 * 53).reshape(SHAPE) * 7 % 241).astype(np.uint8)
PREVIEW = np.stack([GREY] * 3, axis=-1)


def fei(voltage="200000", size="3e-9", inner=None):
    """Return the metadata of an FEI microscope, as its TIFF files have them in tag 34682."""
    both = [f"PixelWidth={each}\r\nPixelHeight={each}\r\n" for each in (size, inner or size)]
    return (
        f"[Beam]\r\nHV={voltage}\r\nBeam=EBeam\r\n\r\n[EBeam]\r\nHV={voltage}\r\n\r\n"
        f"[Scan]\r\n{both[0]}Scan=EScan\r\n\r\n[EScan]\r\n{both[1]}"
    )


def write_pages(path, *pages):
    """Write pages of (pixels, extra tags, (row, column) pixels per cm)."""
    with tifffile.TiffWriter(path) as tiff:
        for pixels, tags, per_cm in pages:
            given = {"resolution": per_cm[::-1], "resolutionunit": "CENTIMETER"} if per_cm else {}
            photometric = "rgb" if pixels.ndim == 3 else "minisblack"
            tiff.write(pixels, photometric=photometric, metadata=None, extratags=tags, **given)
    return path


def fei_tag(*arguments, **keywords):
    return [(34682, "s", 0, fei(*arguments, **keywords), True)]


def test_a_calibration_on_a_later_page(tmp_path):
    preview, image = read_micrographs(
        write_pages(tmp_path / "a.tif", (PREVIEW, [], None), (GREY, fei_tag(), None))
    )
    assert preview.pixel_size_nm is None
    assert image.pixel_size_nm == pytest.approx((3, 3))
    assert image.metadata == {"voltage_kv": 200}


def test_a_calibration_of_the_first_page_is_not_the_seconds(tmp_path):
    first, second = read_micrographs(
        write_pages(tmp_path / "a.tif", (GREY, fei_tag(), None), (GREY[:, :40], [], None))
    )
    assert first.pixel_size_nm == pytest.approx((3, 3))
    assert second.pixel_size_nm is None


def test_olympus_on_the_second_page(tmp_path):
    """Its tag points at a structure in the file; tifffile 2026 reads the same 8e-10 m from it."""
    path = write_pages(
        tmp_path / "a.tif", (PREVIEW, [], None), (GREY, [(33560, "I", 1, 0, True)], None)
    )
    held = bytearray(path.read_bytes())
    held += bytes(-len(held) % 4)
    start = len(held)
    held += struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 42, 19, 15, 10, 118, b"", 1)
    held += struct.pack("<hhI", 1, 1, start + 68)
    numbers = (0, 0.8e-9, 0.8e-9, 90_000.0)
    held += struct.pack("<10xhdd8xd2x34s32s", *numbers, b"camera", b"grey")
    entry = held.index(struct.pack("<HHI", 33560, 4, 1))
    held[entry + 8 : entry + 12] = struct.pack("<I", start)
    path.write_bytes(held)
    preview, image = read_micrographs(path)
    assert preview.pixel_size_nm is None
    assert image.pixel_size_nm == pytest.approx((0.8, 0.8))
    assert image.metadata["magnification"] == 90_000


@pytest.mark.parametrize("columns", [53, 44])
def test_resolution_tags_are_each_pages_own_even_of_pages_that_look_alike(tmp_path, columns):
    one, other = read_micrographs(
        write_pages(
            tmp_path / "a.tif", (GREY, [], (2.5e7, 5e7)), (GREY[:, :columns], [], (1e7, 1e7))
        )
    )
    assert one.pixel_size_nm == pytest.approx((0.4, 0.2))
    assert other.pixel_size_nm == pytest.approx((1, 1))


def test_frames_whose_first_page_alone_is_calibrated_stay_one_series(tmp_path):
    pages = [(GREY, [], (2.5e7, 2.5e7)), (GREY, [], None), (GREY // 2, [], None)]
    (series,) = read_micrographs(write_pages(tmp_path / "a.tif", *pages))
    assert series.pixels.shape == (3, *SHAPE)
    assert series.pixel_size_nm == pytest.approx((0.4, 0.4))


@pytest.mark.parametrize("voltage", [" ", "-", "unknown"])
def test_a_blank_voltage_takes_no_pixel_size_along(tmp_path, voltage):
    (image,) = read_micrographs(write_pages(tmp_path / "a.tif", (GREY, fei_tag(voltage), None)))
    assert image.pixel_size_nm == pytest.approx((3, 3))
    assert "voltage_kv" not in image.metadata


def test_a_blank_size_takes_no_voltage_along_and_the_inner_section_has_it(tmp_path):
    path = write_pages(tmp_path / "a.tif", (GREY, fei_tag(size=" ", inner="4e-9"), None))
    (image,) = read_micrographs(path)
    assert image.pixel_size_nm == pytest.approx((4, 4))
    assert image.metadata["voltage_kv"] == 200
    (image,) = read_micrographs(write_pages(tmp_path / "b.tif", (GREY, fei_tag(size=" "), None)))
    assert image.pixel_size_nm is None
    assert image.metadata["voltage_kv"] == 200


def test_a_dash_in_imagejs_info(tmp_path):
    info = "Microscope Info.Voltage = -\nMicroscope Info.Indicated Magnification = 40000\n"
    tifffile.imwrite(
        tmp_path / "a.tif",
        GREY,
        imagej=True,
        resolution=(2.5, 2.5),
        metadata={"unit": "nm", "Info": info},
    )
    (image,) = read_micrographs(tmp_path / "a.tif")
    assert image.pixel_size_nm == pytest.approx((0.4, 0.4))
    assert image.metadata == {"magnification": 40_000}


def ome(images, frames=1, tiff_data="<TiffData/>"):
    """Return OME-XML of images with these values of PhysicalSizeX and Y."""
    described = "".join(
        f'<Image ID="Image:{number}"><Pixels ID="Pixels:{number}" DimensionOrder="XYZCT" '
        f'Type="uint8" SizeX="{SHAPE[1]}" SizeY="{SHAPE[0]}" SizeZ="1" SizeC="1" '
        f'SizeT="{frames}" PhysicalSizeX="{size}" PhysicalSizeXUnit="nm" PhysicalSizeY="{size}" '
        f'PhysicalSizeYUnit="nm"><Channel ID="Channel:{number}:0" SamplesPerPixel="1"/>'
        f"{tiff_data.format(number)}</Pixels></Image>"
        for number, size in enumerate(images)
    )
    space = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    return f'<?xml version="1.0" encoding="UTF-8"?><OME {space}>{described}</OME>'.encode()


@pytest.mark.parametrize("blank", ["", "-", "NaN", "0"])
def test_each_image_of_ome_has_its_own_size(tmp_path, blank):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        plain = {"photometric": "minisblack", "metadata": None}
        xml = ome([blank, "0.4"], tiff_data='<TiffData IFD="{}" PlaneCount="1"/>')
        tiff.write(GREY, description=xml, **plain)
        tiff.write(GREY // 2, **plain)
    first, second = read_micrographs(tmp_path / "a.ome.tif")
    assert first.pixel_size_nm is None
    assert second.pixel_size_nm == pytest.approx((0.4, 0.4))


EACH = "".join(f'<TiffData FirstT="{t}" IFD="{t}" PlaneCount="1"/>' for t in range(5))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tiff_data", ["<TiffData/>", EACH])
def test_an_acquisition_that_was_stopped_has_the_frames_that_were_recorded(
    tmp_path, compression, tiff_data
):
    path, frames = tmp_path / "a.ome.tif", np.stack([GREY, GREY // 2])
    tifffile.imwrite(
        path,
        frames,
        description=ome(["0.4"], frames=5, tiff_data=tiff_data),
        metadata=None,
        photometric="minisblack",
        compression=compression,
    )
    (series,) = read_micrographs(path)
    np.testing.assert_array_equal(series.pixels, frames)
    assert series.pixel_size_nm == pytest.approx((0.4, 0.4))
    assert series.notes == (
        "5 frames were planned and 2 recorded: the acquisition was stopped early",
    )
    np.testing.assert_array_equal(read_labels(path), frames)


def test_a_plan_of_very_many_frames_takes_no_memory(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path,
        GREY,
        description=ome(["0.4"], frames=100_000),
        metadata=None,
        photometric="minisblack",
    )
    (image,) = read_micrographs(path)
    np.testing.assert_array_equal(image.pixels, GREY)


def test_a_file_that_was_cut_off_is_not_taken_for_a_stopped_one(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as tiff:
        for number in range(5):
            tiff.write(
                GREY,
                description=ome(["0.4"], frames=5) if number == 0 else None,
                metadata=None,
                photometric="minisblack",
                contiguous=False,
            )
    path.write_bytes(path.read_bytes()[: 3 * GREY.size])
    with pytest.raises(ReadingError, match=r"of 5 frames.*it was cut off"):
        read_micrographs(path)
