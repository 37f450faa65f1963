import hashlib

from napari_tem_rf.provenance import file_hash


def test_the_hash_of_a_file_is_its_sha256(tmp_path):
    path = tmp_path / "image.dm3"
    path.write_bytes(b"pixels")
    assert file_hash(path) == hashlib.sha256(b"pixels").hexdigest()
    assert file_hash(tmp_path / "none.dm3") is None


def test_the_hash_of_a_folder_is_of_names_and_contents(tmp_path):
    for name in ("a.zarr", "b.zarr", "c.zarr", "d.zarr"):
        (tmp_path / name / "0").mkdir(parents=True)
        (tmp_path / name / "0" / "x").write_bytes(b"2" if name == "d.zarr" else b"1")
    (tmp_path / "b.zarr" / "0" / "x").rename(tmp_path / "b.zarr" / "0" / "y")
    hashes = [file_hash(tmp_path / name) for name in ("a.zarr", "b.zarr", "c.zarr", "d.zarr")]
    assert hashes[0] == hashes[2]
    assert len(set(hashes)) == 3
