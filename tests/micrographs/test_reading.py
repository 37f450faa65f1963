from xml.sax.saxutils import quoteattr

import mrcfile
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_tem_rf.micrographs.reading import (
    ReadingError,
    find_images,
    image_name,
    read_labels,
    read_micrographs,
)

SHAPE = (61, 83)


@pytest.fixture
def image():
    return np.random.default_rng(752).integers(0, 4000, SHAPE).astype(np.uint16)


def one(path):
    (micrograph,) = read_micrographs(path)
    return micrograph


# TIFF


def test_imagej_calibration_with_pixels_that_are_not_square(tmp_path, image):
    path = tmp_path / "image.tif"
    # 4 px a nm along columns, 2.5 along rows
    tifffile.imwrite(
        path, image, imagej=True, resolution=(4, 2.5), metadata={"unit": "nm", "axes": "YX"}
    )
    micrograph = one(path)
    np.testing.assert_array_equal(micrograph.pixels, image)
    assert micrograph.pixel_size_nm == pytest.approx((0.4, 0.25))
    assert micrograph.name == "image"
    assert micrograph.source == path


def test_imagej_unit_of_its_own_along_rows(tmp_path, image):
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path,
        image,
        imagej=True,
        resolution=(4, 2.5),
        metadata={"unit": "nm", "yunit": "um", "axes": "YX"},
    )
    assert one(path).pixel_size_nm == pytest.approx((400, 0.25))


@pytest.mark.parametrize("unit", ["pixel", "", None])
def test_imagej_without_unit_is_not_calibrated(tmp_path, image, unit):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image, imagej=True, resolution=(4, 4), metadata={"unit": unit})
    assert one(path).pixel_size_nm is None


def test_imagej_in_reciprocal_space_is_refused(tmp_path, image):
    path = tmp_path / "fft.tif"
    tifffile.imwrite(path, image, imagej=True, resolution=(4, 4), metadata={"unit": "1/nm"})
    with pytest.raises(ReadingError, match=r"reciprocal space \(1/nm\)"):
        read_micrographs(path)


def test_an_unknown_unit_is_named_in_a_note(tmp_path, image):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image, imagej=True, resolution=(4, 4), metadata={"unit": "furlong"})
    micrograph = one(path)
    assert micrograph.pixel_size_nm is None
    assert micrograph.notes == ('no pixel size: the unit "furlong" is not a unit of length',)


def test_ome_calibration_of_each_image(tmp_path, image):
    path = tmp_path / "both.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(
            image,
            metadata={
                "Name": "left",
                "axes": "YX",
                "PhysicalSizeX": 0.2,
                "PhysicalSizeXUnit": "nm",
                "PhysicalSizeY": 3,
                "PhysicalSizeYUnit": "Å",
            },
        )
        tiff.write(
            image[:37],
            metadata={
                "Name": "right",
                "axes": "YX",
                "PhysicalSizeX": 0.001,
                "PhysicalSizeY": 0.002,
            },
        )
    left, right = read_micrographs(path)
    assert (left.name, right.name) == ("both left", "both right")
    assert left.pixel_size_nm == pytest.approx((0.3, 0.2))
    assert right.pixel_size_nm == pytest.approx((2, 1))
    assert right.pixels.shape == (37, 83)


def test_dots_per_inch_are_no_pixel_size(tmp_path, image):
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, image, resolution=(300, 300), resolutionunit="INCH")
    assert one(path).pixel_size_nm is None


def test_a_resolution_that_no_printer_has_is_believed_with_a_note(tmp_path, image):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image, resolution=(5e7, 2.5e7), resolutionunit="CENTIMETER")
    micrograph = one(path)
    assert micrograph.pixel_size_nm == pytest.approx((0.4, 0.2))
    assert "resolution tags" in micrograph.notes[0]


def test_olympus_sis(tmp_path, image):
    import struct

    # the fields that tifffile knows of tag 33560 and the block it points to
    path = tmp_path / "sis.tif"
    block = struct.pack("<10xhdd8xd2x34s32s", -9, 0.21, 0.42, 8000.0, b"Veleta", b"TEM")
    header = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 30, 14, 3, 10, 119, b"image", 1)
    place = 400_000
    tifffile.imwrite(
        path,
        image,
        extratags=[(33560, 4, 1, place, True)],
        metadata=None,
    )
    with path.open("r+b") as file:
        file.seek(place)
        file.write(header + struct.pack("<hhI", 1, 1, place + 1000))
        file.seek(place + 1000)
        file.write(block + bytes(200))
    micrograph = one(path)
    assert micrograph.pixel_size_nm == pytest.approx((0.42, 0.21))
    assert micrograph.metadata["magnification"] == 8000
    assert micrograph.metadata["detector"] == "Veleta"
    assert micrograph.metadata["date"].startswith("2019-11-03")


def test_fei(tmp_path, image):
    text = (
        "[User]\r\nDate=01/02/2020\r\nTime=10:20:30 AM\r\n[Beam]\r\nHV=200000\r\n"
        "[Scan]\r\nPixelWidth=2.5e-10\r\nPixelHeight=5e-10\r\n[Detectors]\r\nName=HAADF\r\n"
    )
    path = tmp_path / "fei.tif"
    tifffile.imwrite(path, image, extratags=[(34682, 2, 0, text, True)], metadata=None)
    micrograph = one(path)
    assert micrograph.pixel_size_nm == pytest.approx((0.5, 0.25))
    assert micrograph.metadata == {
        "voltage_kv": 200.0,
        "date": "01/02/2020 10:20:30 AM",
        "detector": "HAADF",
    }


def test_fei_names_the_section_that_holds_the_values(tmp_path, image):
    text = (
        "[Beam]\r\nBeam=EBeam\r\nScan=EScan\r\n[EBeam]\r\nHV=30000\r\n"
        "[EScan]\r\nPixelWidth=2.5e-9\r\nPixelHeight=5e-9\r\n"
    )
    path = tmp_path / "fei.tif"
    tifffile.imwrite(path, image, extratags=[(34682, 2, 0, text, True)], metadata=None)
    micrograph = one(path)
    assert micrograph.pixel_size_nm == pytest.approx((5, 2.5))
    assert micrograph.metadata == {"voltage_kv": 30.0}


@pytest.mark.parametrize(
    ("lines", "size_nm"),
    [
        (["AP_PIXEL_SIZE", "Pixel Size = 2.64 nm"], 2.64),
        (["AP_PIXEL_SIZE", "Pixel Size = 2.64 nm", "AP_IMAGE_PIXEL_SIZE", "Size = 1.2 µm"], 1200),
        (["AP_MAG", "Mag = 50 K X"], None),
    ],
)
def test_zeiss(tmp_path, image, lines, size_nm):
    """The tag as tifffile knows it: a key in capitals, then its name, value and unit."""
    text = "\r\n".join(
        ["0", *lines, "AP_ACTUALKV", "EHT = 20.00 kV", "DP_DETECTOR_TYPE", "Detector = STEM", ""]
    ).encode("cp1252")
    path = tmp_path / "zeiss.tif"
    tags = [(34118, 7, len(text), text, True)]
    tifffile.imwrite(path, image, extratags=tags, metadata=None)
    micrograph = one(path)
    expected = None if size_nm is None else pytest.approx((size_nm, size_nm))
    assert micrograph.pixel_size_nm == expected
    assert micrograph.metadata == {"voltage_kv": 20.0, "detector": "STEM"}


JEOL = """<?xml version="1.0"?><TemReporter><ElectronGun><AccelerationVoltage>200000
</AccelerationVoltage></ElectronGun><ImageFormingSystem><ModeString>{mode}</ModeString>
<SelectorValue>{value}</SelectorValue></ImageFormingSystem></TemReporter>"""


def test_jeol_divides_the_cameras_pixels_by_the_magnification(tmp_path, image):
    path = tmp_path / "jeol.tif"
    tifffile.imwrite(
        path,
        image,
        description=JEOL.format(mode="MAG", value=50_000),
        extratags=[(271, 2, 0, "JEOL Ltd.", True)],
        resolution=(1000, 500),
        resolutionunit="CENTIMETER",
        metadata=None,
    )
    micrograph = one(path)
    # 10 um a pixel on the camera / 50,000 = 0.2 nm
    assert micrograph.pixel_size_nm == pytest.approx((0.4, 0.2))
    assert micrograph.metadata == {"voltage_kv": 200.0, "magnification": 50_000.0}


def test_jeol_diffraction_is_refused(tmp_path, image):
    path = tmp_path / "jeol.tif"
    tifffile.imwrite(
        path,
        image,
        description=JEOL.format(mode="DIFF", value=400),
        extratags=[(271, 2, 0, "JEOL Ltd.", True)],
        metadata=None,
    )
    with pytest.raises(ReadingError, match="reciprocal"):
        read_micrographs(path)


def test_a_damaged_calibration_does_not_hide_the_image(tmp_path, image):
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path,
        image,
        description=JEOL.format(mode="MAG", value="much"),
        extratags=[(271, 2, 0, "JEOL Ltd.", True)],
        metadata=None,
    )
    micrograph = one(path)
    assert micrograph.pixel_size_nm is None
    assert micrograph.notes[0].startswith("the file's calibration cannot be read (ValueError")


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd"])
def test_tiff_values_come_in_this_machines_order(tmp_path, image, byteorder, compression):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image, byteorder=byteorder, compression=compression)
    micrograph = one(path)
    assert micrograph.pixels.dtype.isnative
    np.testing.assert_array_equal(micrograph.pixels, image)


def test_a_stack_keeps_its_frames(tmp_path):
    stack = np.random.default_rng(140).normal(size=(5, 37, 41)).astype(np.float32)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TYX"})
    micrograph = one(path)
    assert (micrograph.frames, micrograph.image_shape) == (5, (37, 41))
    np.testing.assert_array_equal(micrograph.frame(3), stack[3])


def test_more_axes_become_frames_with_a_note(tmp_path):
    stack = np.arange(2 * 3 * 37 * 41, dtype=np.uint16).reshape(2, 3, 37, 41)
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "TZYX"})
    micrograph = one(path)
    np.testing.assert_array_equal(micrograph.frame(4), stack[1, 1])
    assert "one series of 6 frames" in micrograph.notes[0]


# colour


def test_colour_becomes_its_luminance_with_a_note(tmp_path):
    from skimage.color import rgb2gray

    colour = np.random.default_rng(9213).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "colour.tif", colour)
    tifffile.imwrite(
        tmp_path / "planes.tif",
        np.moveaxis(colour, 2, 0),
        photometric="rgb",
        planarconfig="separate",
    )
    Image.fromarray(colour).save(tmp_path / "colour.png")
    np.save(tmp_path / "colour.npy", colour)
    for name in ("colour.tif", "planes.tif", "colour.png", "colour.npy"):
        micrograph = one(tmp_path / name)
        np.testing.assert_allclose(micrograph.pixels, rgb2gray(colour) * 255, rtol=1e-5)
        assert "luminance" in micrograph.notes[0]


def test_grey_saved_in_colour_keeps_its_values(tmp_path, image):
    grey = (image // 16).astype(np.uint8)
    for mode in ("RGB", "RGBA", "LA"):
        Image.fromarray(grey).convert(mode).save(tmp_path / "grey.png")
        micrograph = one(tmp_path / "grey.png")
        np.testing.assert_array_equal(micrograph.pixels, grey)
        assert micrograph.pixels.dtype == np.uint8
        assert "grey" in micrograph.notes[0]


# PNG, NPY, MRC


def test_png_of_16_bits(tmp_path, image):
    Image.fromarray(image).save(tmp_path / "image.png")
    micrograph = one(tmp_path / "image.png")
    np.testing.assert_array_equal(micrograph.pixels, image)
    assert micrograph.pixel_size_nm is None


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4", ">f8", "<i8", "?", "<f2"])
@pytest.mark.parametrize("shape", [SHAPE, (5, 37, 41)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path, dtype, shape, order):
    values = np.random.default_rng(956).integers(0, 2, shape).astype(dtype)
    np.save(tmp_path / "image.npy", np.asarray(values, order=order))
    micrograph = one(tmp_path / "image.npy")
    np.testing.assert_array_equal(micrograph.pixels, values)
    assert micrograph.pixels.dtype.isnative


def test_npy_of_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "bad.npy", np.array([[print, 1]], dtype=object), allow_pickle=True)
    with pytest.raises(ReadingError, match="Python objects"):
        read_micrographs(tmp_path / "bad.npy")


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32, np.uint16, np.float16])
def test_mrc_as_mrcfile_writes_it(tmp_path, dtype):
    stack = np.random.default_rng(752).integers(0, 100, (5, 37, 41)).astype(dtype)
    path = tmp_path / "stack.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(stack)
        mrc.voxel_size = (1.7, 3.4, 1)  # x, y, z in angstrom
    micrograph = one(path)
    np.testing.assert_array_equal(micrograph.pixels, stack)
    assert micrograph.pixel_size_nm == pytest.approx((0.34, 0.17))


def test_mrc_without_pixel_size(tmp_path, image):
    with mrcfile.new(tmp_path / "image.mrc") as mrc:
        mrc.set_data(image)
    micrograph = one(tmp_path / "image.mrc")
    assert micrograph.pixels.shape == SHAPE
    assert micrograph.pixel_size_nm is None


def test_mrc_of_the_other_byte_order(tmp_path, image):
    with mrcfile.new(tmp_path / "image.mrc") as mrc:
        mrc.set_data(image.astype(">u2"))
        mrc.voxel_size = 1.7
    np.testing.assert_array_equal(one(tmp_path / "image.mrc").pixels, image)


def test_complex_mrc_is_refused(tmp_path):
    with mrcfile.new(tmp_path / "wave.mrc") as mrc:
        mrc.set_data(np.ones(SHAPE, np.complex64))
    with pytest.raises(ReadingError, match="complex"):
        read_micrographs(tmp_path / "wave.mrc")


def test_pixels_that_are_not_finite_are_counted_in_a_note(tmp_path):
    values = np.zeros(SHAPE, np.float32)
    values[3, 5:8] = np.nan
    np.save(tmp_path / "image.npy", values)
    assert one(tmp_path / "image.npy").notes[0].startswith("3 of 5063 pixels are not finite")


# labels


def test_masks_keep_their_values(tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:20, 30:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    np.save(tmp_path / "mask.npy", mask)
    for name in ("mask.png", "mask.tif", "mask.npy"):
        labels = read_labels(tmp_path / name)
        np.testing.assert_array_equal(labels, mask)
        assert labels.dtype == np.uint8


def test_a_palette_mask_gives_its_indices(tmp_path):
    indices = np.random.default_rng(140).integers(0, 4, SHAPE).astype(np.uint8)
    picture = Image.new("P", SHAPE[::-1])
    picture.putdata(indices.ravel().tolist())
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.png"), indices)


def test_true_and_false_are_1_and_0(tmp_path):
    mask = np.eye(5, 7, dtype=bool)
    np.save(tmp_path / "mask.npy", mask)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for name in ("mask.npy", "mask.png"):
        np.testing.assert_array_equal(read_labels(tmp_path / name), mask.astype(int))


def test_whole_numbers_of_float_type_are_taken(tmp_path):
    np.save(tmp_path / "mask.npy", np.array([[0.0, 1.0], [300.0, 2.0]]))
    labels = read_labels(tmp_path / "mask.npy")
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, [[0, 1], [300, 2]])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([[0.0, 0.5]]), "of type float64 with fractions"),
        (np.array([[0.0, np.nan]]), "with fractions"),
        (np.array([[0, -1]]), "from -1 to 0"),
        (np.array([[0, 2**31]]), "from 0 to 2147483648"),
        (np.array([[0, 1j]]), "of type complex128"),
        (np.zeros(7, int), r"shape \(7,\)"),
    ],
)
def test_what_is_no_label_is_named(tmp_path, values, words):
    np.save(tmp_path / "mask.npy", values)
    with pytest.raises(ReadingError, match=words):
        read_labels(tmp_path / "mask.npy")


def in_colour(folder, mask, opacity=None):
    """Write a mask of bytes as programs save black and white in colour; return the files."""
    channels = [mask, mask, mask] if opacity is None else [mask, mask, mask, opacity]
    colour = np.stack(channels, axis=-1)
    kinds = {"photometric": "rgb"} | ({} if opacity is None else {"extrasamples": ["unassalpha"]})
    tifffile.imwrite(folder / "mask.tif", colour, **kinds)
    planes = np.ascontiguousarray(np.moveaxis(colour, 2, 0))
    tifffile.imwrite(folder / "planes.tif", planes, planarconfig="separate", **kinds)
    Image.fromarray(colour).save(folder / "mask.png")
    np.save(folder / "mask.npy", colour)
    return [folder / name for name in ("mask.tif", "planes.tif", "mask.png", "mask.npy")]


@pytest.mark.parametrize("opaque", [False, True])
def test_labels_saved_in_colour_but_grey_are_taken(tmp_path, opaque):
    mask = np.where(np.random.default_rng(9213).random(SHAPE) < 0.3, 255, 0).astype(np.uint8)
    for path in in_colour(tmp_path, mask, np.full_like(mask, 255) if opaque else None):
        labels = read_labels(path)
        np.testing.assert_array_equal(labels, mask, err_msg=path.name)
        assert labels.dtype == np.uint8
    Image.fromarray(np.stack([mask, np.full_like(mask, 255)], axis=-1)).save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "la.png"), mask)


def test_labels_in_colour_are_refused(tmp_path):
    """Read as they lie they would be a stack of as many frames as the image has rows."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:9, 5:20] = 255
    for path in in_colour(tmp_path, mask, opacity=mask):
        with pytest.raises(ReadingError, match="is see-through in places"):
            read_labels(path)
    for path in in_colour(tmp_path, mask):
        colour = np.stack([mask, mask, np.zeros_like(mask)], axis=-1)
        if path.suffix == ".png":
            Image.fromarray(colour).save(path)
        elif path.suffix == ".npy":
            np.save(path, colour)
        else:
            tifffile.imwrite(path, colour, photometric="rgb")
        with pytest.raises(ReadingError, match=f'"{path.name}" is in colour: .* save the mask in'):
            read_labels(path)


# folders, names, wrong use


def ome_of(titles):
    """Return OME's XML of one plane a title; tifffile writes titles as they are in old versions."""
    rows, columns = SHAPE
    images = "".join(
        f'<Image ID="Image:{n}" Name={quoteattr(title)}><Pixels ID="Pixels:{n}" '
        f'DimensionOrder="XYCZT" Type="uint8" SizeX="{columns}" SizeY="{rows}" SizeC="1" '
        f'SizeZ="1" SizeT="1"><Channel ID="Channel:{n}:0" SamplesPerPixel="1"/>'
        f'<TiffData IFD="{n}" PlaneCount="1"/></Pixels></Image>'
        for n, title in enumerate(titles)
    )
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{schema}">{images}</OME>'


def test_what_a_file_calls_its_images_is_a_name_for_a_file(tmp_path):
    """Masks are named like their images: a name must not lead out of the folder."""
    image = np.zeros(SHAPE, np.uint8)
    titles = ["../../../out", "b/c", 'HAADF "5" kx?', "..", "HAADF 5 KX", "plain", "plain"]
    with tifffile.TiffWriter(tmp_path / "many.ome.tif", ome=False) as tiff:
        for number in range(len(titles)):
            said = ome_of(titles) if number == 0 else None
            tiff.write(image, description=said, metadata=None)
    names = [micrograph.name for micrograph in read_micrographs(tmp_path / "many.ome.tif")]
    assert names == [
        *("many out", "many b c", "many HAADF 5 kx", "many 4"),
        # some systems do not tell capitals from small letters
        *("many HAADF 5 KX 5", "many plain", "many plain 7"),
    ]


def test_names_stay_unique_where_a_title_looks_like_a_number(tmp_path):
    with tifffile.TiffWriter(tmp_path / "many.ome.tif") as tiff:
        for title in ("gold", "gold 3", "gold"):
            tiff.write(np.zeros(SHAPE, np.uint8), metadata={"axes": "YX", "Name": title})
    names = [micrograph.name for micrograph in read_micrographs(tmp_path / "many.ome.tif")]
    assert names == ["many gold", "many gold 3", "many gold 4"]


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, image, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "gold.npy")

    np.save(tmp_path / "gold.npy", image)
    monkeypatch.setattr(np.lib.format, "read_magic", refuse)
    with pytest.raises(ReadingError) as refused:
        read_micrographs(tmp_path / "gold.npy")
    assert str(refused.value) == (
        '"gold.npy" may not be read (Permission denied): give your account the right to read it, '
        "or copy it to a folder of your own"
    )


def test_folders_give_their_readable_files_sorted(tmp_path, image):
    for name in ("b.npy", "a.NPY", "notes.txt", ".hidden.npy", "x_1.ser", "x.emi", "y_1.ser"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "z.ome.zarr").mkdir()
    names = [path.name for path in find_images([tmp_path])]
    # x_1.ser comes with x.emi
    assert names == ["a.NPY", "b.npy", "x.emi", "y_1.ser", "z.ome.zarr"]
    assert find_images([tmp_path / "b.npy", tmp_path])[0].name == "b.npy"
    assert len(find_images([tmp_path, tmp_path])) == 5


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(ReadingError, match="holds no file with one of the endings"):
        find_images([tmp_path])


@pytest.mark.parametrize("read", [read_micrographs, read_labels])
def test_wrong_paths_are_one_sentence(tmp_path, read):
    (tmp_path / "image.xyz").write_text("x")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "folder.tif").mkdir()
    for name, words in (
        ("none.tif", "is not there"),
        ("image.xyz", 'has the ending ".xyz"'),
        ("empty.tif", "is empty"),
        ("folder.tif", "is a folder"),
    ):
        with pytest.raises(ReadingError, match=words):
            read(tmp_path / name)


def test_names_go_without_their_ending():
    assert image_name("a/b.c.tif") == "b.c"
    assert image_name("a/b.ome.tif") == "b"
    assert image_name("a/b.ome.zarr") == "b"


def test_a_missing_rosettasciio_is_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for ending in ("dm3", "dm4"):
        path = tmp_path / f"image.{ending}"
        path.write_bytes(b"x")
        with pytest.raises(ReadingError, match=r'pip install "napari-tem-rf\[formats\]"'):
            read_micrographs(path)
