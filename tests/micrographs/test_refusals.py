"""What is said when a library refuses: damage only where nothing else explains it."""

import errno
import os
import socket
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_tem_rf.micrographs import reading
from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.micrographs.reading import find_images, open_labels, read_labels
from napari_tem_rf.micrographs.refusals import left_out, unreadable

PATH = Path("folder", "gold.emd")

NO_DAMAGE = [
    (ModuleNotFoundError("No module named 'hdf5plugin'", name="hdf5plugin"), "pip install hdf5plu"),
    # RosettaSciIO's and tifffile's own words
    (
        ModuleNotFoundError("The 'sparse' library was not found. To load EDS ..."),
        "pip install sparse",
    ),
    (ValueError("<COMPRESSION.LERC: 34887> requires the 'imagecodecs' package"), "imagecodecs"),
    (ImportError("DLL load failed while importing _x"), "DLL load failed"),
    (OSError("Can't read data (required filter 'bitshuffle' is not registered)"), "hdf5plugin"),
    (OSError("Can't read data (can't open directory (/usr/lib/plugin))"), "hdf5plugin"),
    (ValueError("codec not available: 'squeeze9'"), "squeeze9"),
    (NotImplementedError("Currently only RGB"), "cannot be read here (Currently only RGB)"),
    (ValueError("compression 7 not supported"), "without compression"),
    (BlockingIOError(errno.EAGAIN, "unable to lock file"), "held open by another program"),
    (OSError(errno.EIO, "Input/output error"), "check the disk or the network"),
    (OSError(errno.ESTALE, "Stale file handle"), "check the disk or the network"),
    (PermissionError(errno.EACCES, "Permission denied"), "give your account the right"),
]


@pytest.mark.parametrize(("error", "words"), NO_DAMAGE)
def test_what_is_no_damage_is_told_with_its_remedy(error, words):
    sentence = str(unreadable(PATH, error))
    assert sentence.startswith('"gold.emd" ')
    assert words in sentence
    assert "damaged" not in sentence
    assert "of another format" not in sentence
    assert words in left_out("gold", error).unsuitable


@pytest.mark.parametrize(
    "error",
    [
        OSError("Unable to synchronously open file (truncated file: eof = 96)"),
        ValueError("buffer is smaller than requested size"),
        KeyError("axes"),
        EOFError("frame 3 has 17 of 99 values"),
    ],
)
def test_what_nothing_explains_is_damage(error):
    assert str(unreadable(PATH, error)).endswith("it is damaged or of another format")


def test_an_image_for_which_the_memory_does_not_do_is_not_left_out():
    for error in (MemoryError(), OSError("Can't read data (memory allocation failed)")):
        with pytest.raises(type(error)):
            left_out("gold", error)


def test_sentences_stay_on_one_line():
    for error in (ValueError("a\nb\x1b[31m" * 300), ReadingError("a\nb\x1b[31m" * 300)):
        sentence = str(unreadable(PATH, error))
        assert sentence.isprintable()
        assert len(sentence) <= 500


def test_filters_that_are_installed_are_made_known(tmp_path, monkeypatch):
    (tmp_path / "hdf5plugin.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hdf5plugin", raising=False)
    with h5py.File(tmp_path / "a.hspy", "w") as file:
        file["Experiments/a/data"] = np.zeros((37, 41), np.uint8)
    reading.read_micrographs(tmp_path / "a.hspy")
    assert sys.modules.pop("hdf5plugin").__file__ == str(tmp_path / "hdf5plugin.py")


def test_a_signal_that_cannot_be_read_stops_no_other(tmp_path):
    image = np.arange(37 * 41, dtype=np.uint16).reshape(37, 41)
    with h5py.File(tmp_path / "a.hspy", "w") as file:
        file["Experiments/good/data"] = image
        file["Experiments/bad/elsewhere"] = image
    (micrograph,) = reading.read_micrographs(tmp_path / "a.hspy")
    np.testing.assert_array_equal(micrograph.pixels, image)
    assert micrograph.notes[0].startswith('"a bad" is left out: it cannot be read')


# ---------------------------------------------------------------- pipes, sockets, devices


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_pipes_and_devices_are_refused_at_once(tmp_path):
    for ending in (*reading.IMAGE_ENDINGS, ".txt"):
        pipe = tmp_path / f"pipe{ending}"
        os.mkfifo(pipe)
        for read in (reading.read_micrographs, read_labels, open_labels):
            with pytest.raises(ReadingError, match=f'"pipe{ending}" is a pipe, not a file'):
                read(pipe)
        with pytest.raises(ReadingError, match="is a pipe"):
            find_images([pipe])
    link = tmp_path / "device.tif"
    link.symlink_to("/dev/null")
    with pytest.raises(ReadingError, match="is a device, not a file"):
        reading.read_micrographs(link)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "a.tif"))
        with pytest.raises(ReadingError, match="is a socket, not a file"):
            reading.read_micrographs(tmp_path / "a.tif")


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_beside_a_file_is_not_waited_for(tmp_path, formats):
    name = "128x128_TEM_acquire-sum1"
    (tmp_path / f"{name}_1.ser").write_bytes((formats / f"{name}_1.ser").read_bytes())
    os.mkfifo(tmp_path / f"{name}.emi")
    # the series is read without what its .emi would have said
    (micrograph,) = reading.read_micrographs(tmp_path / f"{name}_1.ser")
    assert micrograph.metadata == {}
    (tmp_path / "b.emi").touch()
    (tmp_path / "b.emi").write_bytes((formats / f"{name}.emi").read_bytes())
    os.mkfifo(tmp_path / "b_1.ser")
    with pytest.raises(ReadingError, match=r'"b_1.ser" is a pipe'):
        reading.read_micrographs(tmp_path / "b.emi")
