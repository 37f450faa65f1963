import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.provenance import (
    file_hash,
    provenance_of,
    provenance_path,
    read_provenance,
    write_provenance,
)
from napari_tem_rf.runs import RunRecord, create_run


@pytest.fixture
def run(tmp_path):
    record = RunRecord(
        name="gold",
        spec=NetworkSpec(pools=(4, 4), filters=4),
        plan=TrainingPlan(seed=956),
        classes=Classes((1, 2), ("background", "particle")),
        unlabelled="ignore",
        cleaning=Cleaning(binning=2),
        pixel_size_nm=(0.0178, 0.0178),
        data=(),
        best_epoch=7,
    )
    run = create_run(tmp_path / "run", record, {})
    run.write_weights({"a": np.zeros(3, np.float32)})
    return run


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


def test_provenance_says_how_a_mask_was_made(run, tmp_path):
    """The network's numbers are those of DESIGN section 5 for pools 4,4 and 4 filters."""
    source = tmp_path / "image.tif"
    source.write_bytes(b"pixels")
    made = provenance_of(run, "image", source, (0.02, 0.03))
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert made["image"] == "image"
    assert made["source"] == str(source)
    assert made["source_sha256"] == hashlib.sha256(b"pixels").hexdigest()
    weights = (run.folder / "weights.safetensors").read_bytes()
    assert made["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert made["run"] == str(run.folder)
    assert made["parameters"] == 8074
    assert made["receptive_field"]["nominal"] == 120
    assert made["pixel_size_nm"] == [0.02, 0.03]
    assert made["trained_at_pixel_size_nm"] == [0.0178, 0.0178]
    assert made["classes"] == {"background": 0, "particle": 2}
    assert (made["seed"], made["best_epoch"], made["cleaning"]["binning"]) == (956, 7, 2)
    assert made["versions"]["numpy"] == np.__version__
    assert made["date"].endswith("+00:00")


def test_what_is_not_known_is_null(run):
    run = replace(run, record=replace(run.record, pixel_size_nm=None))
    made = provenance_of(run, "image", None, None)
    for key in ("source", "source_sha256", "pixel_size_nm", "trained_at_pixel_size_nm"):
        assert made[key] is None


def test_provenance_lies_beside_the_mask(run, tmp_path):
    mask = tmp_path / "masks" / "image.tif"
    made = provenance_of(run, "image", None, None)
    path = write_provenance(mask, made)
    assert path == provenance_path(mask) == tmp_path / "masks" / "image.tif.json"
    assert read_provenance(mask) == made


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "null"])
def test_provenance_that_cannot_be_read_is_none(tmp_path, text):
    if text is not None:
        (tmp_path / "image.tif.json").write_text(text)
    assert read_provenance(tmp_path / "image.tif") is None
