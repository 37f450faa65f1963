import errno

import pytest

from napari_tem_rf.storage import StorageError, refuse_existing, write_aside, write_text


def _stop_halfway(path, error):
    with write_aside(path) as aside:
        aside.write_bytes(b"half of the new")
        raise error


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "run" / "run.json"
    write_text(path, "first")
    write_text(path, "segundo, ñ")
    assert path.read_text(encoding="utf-8") == "segundo, ñ"
    assert [p.name for p in path.parent.iterdir()] == ["run.json"]


def test_a_folder_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "store.zarr"
    for text in ("first", "second"):
        with write_aside(path) as aside:
            aside.mkdir()
            (aside / "chunk").write_text(text)
    assert (path / "chunk").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["store.zarr"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_the_earlier_file(tmp_path, error):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"earlier")
    with pytest.raises(error):
        _stop_halfway(path, error())
    assert path.read_bytes() == b"earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["weights.bin"]


def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "mask.tif"
    path.write_bytes(b"earlier")
    with pytest.raises(StorageError) as caught:
        _stop_halfway(path, OSError(errno.ENOSPC, "No space left on device"))
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value).startswith(f'"{path}" could not be written (No space left on device)')
    assert path.read_bytes() == b"earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["mask.tif"]


def test_the_path_aside_keeps_the_ending(tmp_path):
    with write_aside(tmp_path / "mask.ome.tif") as aside:
        assert aside.suffix == ".tif"
        assert aside.parent == tmp_path
        aside.write_bytes(b"x")


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match="could not be written"):
        write_text(tmp_path / "out" / "mask.txt", "x")


def test_existing_files_are_refused(tmp_path):
    path = tmp_path / "mask.tif"
    refuse_existing(path)
    path.write_bytes(b"x")
    with pytest.raises(FileExistsError, match="allow overwriting"):
        refuse_existing(path)
    refuse_existing(path, overwrite=True)
