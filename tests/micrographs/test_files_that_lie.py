"""Damaged and foreign files: a result or one sentence, soon, and without filling the memory."""

import contextlib
import struct
import tracemalloc
import zlib

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_tem_rf.micrographs.reading import ReadingError, read_labels, read_micrographs
from napari_tem_rf.micrographs.tiff_parts import coded_size


@pytest.mark.timeout(60)
def test_a_hundred_damaged_files_are_opened_or_refused(formats, tmp_path, benchmark_module):
    pytest.importorskip("rsciio")
    fuzz = benchmark_module("fuzz_files")
    (tmp_path / "written").mkdir()
    files = fuzz.originals(tmp_path / "written")
    outcomes = []
    for number, case in enumerate(fuzz.mutations(files, cases=120, seed=140)):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / case.name
        path.write_bytes(case.data)
        for file in case.beside:
            (folder / file.name).write_bytes(file.read_bytes())
        outcome, said = fuzz.read_one(path)
        assert outcome in ("opened", "refused"), (case.name, case.mutation, said)
        outcomes.append(outcome)
    assert outcomes.count("refused") > 30
    assert outcomes.count("opened") > 15


def refused(path):
    """Return the sentence of a refusal, and the most memory it took in MiB."""
    tracemalloc.start()
    try:
        with pytest.raises(ReadingError) as caught:
            read_micrographs(path)
        return str(caught.value), tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_every_cut_of_a_small_file_is_refused(tmp_path):
    image = np.arange(61 * 83, dtype=np.uint16).reshape(61, 83)
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(image)
    np.save(tmp_path / "a.npy", image)
    Image.fromarray(image).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", image, rowsperstrip=7)
    for name in ("a.mrc", "a.npy", "a.png", "a.tif"):
        whole = (tmp_path / name).read_bytes()
        cut = tmp_path / f"cut{name[1:]}"
        # the last bytes of a PNG hold no pixels
        for length in range(0, len(whole) - 20, 97):
            cut.write_bytes(whole[:length])
            with pytest.raises(ReadingError, match=r'^"cut'):
                read_micrographs(cut)


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path):
    header = bytearray(1024)
    struct.pack_into("<4i", header, 0, 60_000, 60_000, 60_000, 2)
    (tmp_path / "a.mrc").write_bytes(header)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
        )
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((7, 11), np.uint8))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tiff.pages[0].tags[name].overwrite(60_000)
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((7, 11), np.uint8), compression="zlib")
    with tifffile.TiffFile(tmp_path / "b.tif", mode="r+") as tiff:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tiff.pages[0].tags[name].overwrite(60_000)
    with h5py.File(tmp_path / "a.hspy", "w") as file:
        file.create_dataset("Experiments/a/data", (10**6, 10**6), "f8", chunks=(512, 512))
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=(10**6, 10**6), chunks=(512, 512), dtype="f8")
    axes = [{"name": "y"}, {"name": "x"}]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    for name in ("a.mrc", "a.npy", "a.tif", "b.tif", "a.hspy", "a.zarr"):
        sentence, mib = refused(tmp_path / name)
        assert "declares" in sentence
        assert mib < 20


def test_png_of_absurd_size(tmp_path):
    Image.fromarray(np.zeros((7, 11), np.uint8)).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    sentence, mib = refused(tmp_path / "a.png")
    assert "declares 60000 x 60000 pixels" in sentence
    assert mib < 20


def dm4(*tags):
    """A DigitalMicrograph file with the given bytes as tags of its root."""
    return struct.pack(">IQI", 4, 0, 1) + struct.pack(">BBQ", 0, 0, len(tags)) + b"".join(tags)


def dm4_data(name, *declaration):
    front = struct.pack(">BH", 21, len(name)) + name.encode() + bytes(8) + b"%%%%"
    return front + struct.pack(f">Q{len(declaration)}Q", len(declaration), *declaration)


def dm4_group(name, tags):
    return struct.pack(">BH", 20, len(name)) + name.encode() + struct.pack(">QBBQ", 0, 0, 0, tags)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (dm4(*([dm4_group("deeper", 1)] * 5000)), "nested more than 64 deep"),
        (dm4(dm4_data("a", 20, 15, 0, 0, 2**40)), "elements of no size"),
        (dm4(dm4_data("a", 20, 20, 4, 0, 2**40)), "elements of no size"),
        (dm4(dm4_data("a", 20, 4, 2**40)), "declares 2,199,023,255,552 bytes"),
        (dm4(dm4_data("a", 20, 4, 2**63)), "a length of -9223372036854775808"),
        (dm4(dm4_data("a", 15, 0, 2**40)), "no whole declaration"),
        (dm4(dm4_data("a", 99)), "unknown kind 99"),
        (dm4(dm4_data("a", 20, 10, 5_000_000) + bytes(5_000_000)), "more than 4,000,000 values"),
        (dm4_group("", 2**40), "does not start as a DigitalMicrograph file"),
        (struct.pack(">IQI", 4, 0, 1) + struct.pack(">BBQ", 0, 0, 2**40), "tags"),
        (dm4(b""), "ends in the middle of its tags"),
    ],
)
def test_malformed_tags_of_digitalmicrograph(tmp_path, data, words):
    pytest.importorskip("rsciio")
    path = tmp_path / "a.dm4"
    path.write_bytes(data)
    with pytest.raises(ReadingError, match=words):
        read_micrographs(path)


def test_tags_with_binary_names_give_one_readable_line(tmp_path):
    pytest.importorskip("rsciio")
    name = "a\n\x00\x1b" * 5000
    path = tmp_path / "a.dm4"
    path.write_bytes(dm4(dm4_data(name, 99)[:-40] + bytes(60)))
    with pytest.raises(ReadingError) as caught:
        read_micrographs(path)
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert len(sentence) <= 500


@pytest.mark.timeout(20)
def test_a_tiff_whose_pages_go_in_circles(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((7, 11), np.uint8), metadata=None)
    with tifffile.TiffFile(path) as tiff:
        tags = len(tiff.pages[0].tags)
        start = tiff.pages[0].offset
    data = bytearray(path.read_bytes())
    data[start + 2 + 12 * tags : start + 6 + 12 * tags] = struct.pack("<I", start)
    path.write_bytes(data)
    with contextlib.suppress(ReadingError):
        assert read_micrographs(path)[0].image_shape == (7, 11)


def test_foreign_content_with_a_wanted_ending(tmp_path):
    pytest.importorskip("rsciio")
    for ending in ("dm3", "dm4", "emd", "hspy", "mrc", "npy", "png", "ser", "tif", "zspy"):
        path = tmp_path / f"notes.{ending}"
        path.write_text("Dear colleague, the images are on the other disk.\n" * 40)
        with pytest.raises(ReadingError, match=f'"notes.{ending}"'):
            read_micrographs(path)


COMPRESSED = {
    # where JPEG 2000 (ITU-T T.800, A.5.1), JPEG (T.81, B.2.2) and PNG write the number of rows
    "jpeg2000": (b"\xff\x4f\xff\x51", 12, ">I"),
    "jpeg": (b"\xff\xc0", 5, ">H"),
    "png": (b"\x89PNG", 20, ">I"),
}


@pytest.mark.parametrize("compression", COMPRESSED)
@pytest.mark.parametrize("frames", [1, 3])
def test_a_part_of_a_tiff_that_declares_another_size_is_refused(tmp_path, compression, frames):
    """The libraries would take memory for 60,000 rows and cut them off."""
    marker, place, kind = COMPRESSED[compression]
    path = tmp_path / "a.tif"
    image = np.random.default_rng(9213).integers(0, 255, (frames, 61, 83)).astype(np.uint8)
    tifffile.imwrite(
        path, image, photometric="minisblack", compression=compression, rowsperstrip=61
    )
    (micrograph,) = read_micrographs(path)
    assert micrograph.image_shape == (61, 83)
    data = bytearray(path.read_bytes())
    at = data.rindex(marker) + place
    assert struct.unpack_from(kind, data, at) == (61,)
    struct.pack_into(kind, data, at, 60_000)
    path.write_bytes(data)
    said, _ = refused(path)
    assert "declares 60000 x 83 pixels of an image of 61 x 83: it is damaged" in said
    with pytest.raises(ReadingError, match="declares 60000 x 83 pixels"):
        read_labels(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "JPEG2000"])
@pytest.mark.parametrize("shape", [(61, 83), (300, 7)])
def test_sizes_are_those_that_pillow_writes(tmp_path, kind, shape):
    path = tmp_path / "image"
    Image.fromarray(np.zeros(shape, np.uint8)).save(path, format=kind)
    data = path.read_bytes()
    assert coded_size(data) == shape
    assert all(coded_size(data[:end]) in (None, shape) for end in range(len(data)))
