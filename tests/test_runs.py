"""A run folder gives back what went in, and nothing of it is lost, overwritten or executed."""

import csv
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save

from napari_tem_rf import runs, storage
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.reading import read_labels, read_micrographs
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, TrainingPlan, sytwu2022
from napari_tem_rf.runs import (
    DataEntry,
    RunError,
    RunRecord,
    array_hash,
    create_run,
    labels_as_given,
    library_versions,
    read_run,
)

LABELS = np.random.default_rng(752).integers(0, 3, (31, 37)).astype(np.uint8)


def record_of(**changes):
    record = RunRecord(
        name="gold",
        spec=NetworkSpec(pools=(4, 2), dilations=(1, 2, 3), filters=5, growth=1.5, classes=3),
        plan=sytwu2022(seconds=1.5, seed=956, device="cpu"),
        classes=Classes((1, 2, 700), ("carbon", "gold", "Ag"), ("", "#aabbcc", "")),
        unlabelled="ignore",
        cleaning=Cleaning("robust", 6.5, 2, 3),
        pixel_size_nm=(0.0178, 0.0179),
        data=(
            DataEntry(
                name="gold_03",
                group="gold",
                shape=(31, 37),
                pixels_sha256="ab" * 32,
                labels_sha256="cd" * 32,
                annotation="annotation.ome.tif",
                source="/data/gold_03.dm3",
            ),
        ),
        split={"kind": "blocks", "held_out": ["rows 0 to 7"], "sentence": "a block"},
        scores={"dice": 0.875, "images": [{"name": "gold_03", "dice": 0.875}]},
        best_epoch=7,
        versions={"torch": "2.13.0"},
    )
    return replace(record, **changes)


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path / "run", record_of(), {"annotation.ome.tif": LABELS})


def damaged(folder, change):
    path = folder / "run.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    "record",
    [
        record_of(),
        record_of(pixel_size_nm=None, unlabelled="background", plan=TrainingPlan()),
        record_of(spec=NetworkSpec((), filters=2, classes=3), scores={}, best_epoch=None, data=()),
        record_of(plan=TrainingPlan(epochs=None, seconds=60, patience=5), cleaning=Cleaning()),
    ],
)
def test_record_comes_back_as_it_went_in(tmp_path, record):
    create_run(tmp_path / "run", record, {})
    assert read_run(tmp_path / "run").record == record
    assert read_run(str(tmp_path / "run")).folder == tmp_path / "run"


def test_annotation_comes_back_with_its_pixel_size(run):
    path = run.folder / "annotation.ome.tif"
    np.testing.assert_array_equal(read_labels(path), LABELS)
    (micrograph,) = read_micrographs(path)
    assert micrograph.pixel_size_nm == pytest.approx((0.0178, 0.0179), rel=1e-6)


def test_weights_come_back_to_the_bit(run):
    rng = np.random.default_rng(2245)
    weights = {
        "head.weight": rng.standard_normal((2, 3, 1, 1)).astype(np.float32),
        "turned": np.asfortranarray(rng.standard_normal((5, 7)).astype(np.float32)),
        "norm.num_batches_tracked": np.array(17),
    }
    run.write_weights(weights)
    back = run.read_weights()
    assert back.keys() == weights.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(back[name].reshape(value.shape), value)
        assert back[name].dtype == value.dtype


def test_history_has_a_row_an_epoch_and_names_its_columns(run):
    history = [
        EpochReport(1, 25, 1.5, 9.0, 0.7, 0.6, 0.81, 1, 0.81),
        EpochReport(2, 50, 3.0, 7.5, 1 / 3, None, None, 1, None),
    ]
    run.write_history(history)
    text = (run.folder / "history.csv").read_bytes()
    assert b"\r" not in text
    rows = list(csv.DictReader(text.decode().splitlines()))
    assert list(rows[0]) == [
        "epoch",
        "steps",
        "seconds",
        "training_loss",
        "validation_loss",
        "validation_dice",
        "best_epoch",
        "best_dice",
    ]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["training_loss"]) == 1 / 3
    assert (rows[1]["validation_dice"], rows[1]["best_dice"]) == ("", "")


def test_summary_is_plain_json_with_the_networks_numbers():
    """Numbers of the paper's network of pools 4,4 from DESIGN section 5."""
    record = record_of(spec=NetworkSpec(pools=(4, 4), filters=4), cleaning=Cleaning())
    summary = json.loads(json.dumps(record.summary(), allow_nan=False))
    assert summary["parameters"] == 8074
    assert summary["receptive_field"] == {
        "nominal": 120,
        "smallest": 116,
        "largest": 132,
        "period": 16,
        "halo": 64,
    }
    assert summary["classes"] == {"carbon": 1, "gold": 2, "Ag": 700}
    assert (summary["seed"], summary["preset"]) == (956, "sytwu2022")
    assert summary["scores"]["dice"] == record.validation_dice == 0.875


@pytest.mark.parametrize("inside", ["run.json", "notes.txt", ".hidden"])
def test_a_folder_with_something_in_it_is_never_written_to(tmp_path, inside):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / inside).write_text("precious")
    hint = "resume it, or name another folder" if inside == "run.json" else "name a folder that"
    with pytest.raises(RunError, match=rf"exists and is not empty: {hint}.*nothing is overwritten"):
        create_run(folder, record_of(), {"annotation.ome.tif": LABELS})
    assert [(each.name, each.read_text()) for each in folder.iterdir()] == [(inside, "precious")]


def test_a_file_in_the_place_of_the_folder_stays(tmp_path):
    (tmp_path / "run").write_text("precious")
    with pytest.raises(RunError, match="nothing is overwritten"):
        create_run(tmp_path / "run", record_of(), {})
    assert (tmp_path / "run").read_text() == "precious"


def test_an_empty_folder_and_missing_parents_will_do(tmp_path):
    (tmp_path / "empty").mkdir()
    create_run(tmp_path / "empty", record_of(), {})
    create_run(tmp_path / "a" / "b" / "run", record_of(), {})
    assert read_run(tmp_path / "a" / "b" / "run").record.name == "gold"


@pytest.mark.parametrize("write", ["record", "weights", "history"])
def test_a_failure_while_writing_leaves_what_was_there(run, monkeypatch, write):
    report = EpochReport(1, 25, 1.5, 9.0, 0.7, 0.6, 0.81, 1, 0.81)
    writers = {
        "record": lambda: run.with_record(replace(run.record, state="stopped")),
        "weights": lambda: run.write_weights({"a": np.ones(3, np.float32)}),
        "history": lambda: run.write_history([report, report]),
    }
    run.write_weights({"a": np.zeros(3, np.float32)})
    run.write_history([report])
    before = {each.name: each.read_bytes() for each in run.folder.iterdir()}

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "_to_disk", full)
    with pytest.raises(storage.StorageError, match=r"No space left on device.*make room"):
        writers[write]()
    assert {each.name: each.read_bytes() for each in run.folder.iterdir()} == before


def test_what_is_no_run_is_said(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(RunError, match=r"is not a run: it has no run\.json; give the folder"):
            read_run(folder)


@pytest.mark.parametrize("newer", [2, 17])
def test_a_run_of_a_newer_version_is_refused(run, newer):
    damaged(run.folder, lambda values: values.update(format=newer))
    with pytest.raises(
        RunError, match=f"has format {newer} but this version reads up to 1: update napari-tem-rf"
    ):
        read_run(run.folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00\x01", '{"format": "one"}', "{}"])
def test_a_record_that_is_none_is_said(run, text):
    (run.folder / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"run\.json. (cannot be read|is not the record of a run)"):
        read_run(run.folder)


def test_a_record_of_bytes_is_said(run):
    (run.folder / "run.json").write_bytes(bytes(range(256)))
    with pytest.raises(RunError, match="cannot be read"):
        read_run(run.folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("spec"),
        lambda values: values["spec"].update(pools=[1]),
        lambda values: values["spec"].update(filters="many"),
        lambda values: values["plan"].update(epochs=None, seconds=None),
        lambda values: values["plan"].update(device="abacus"),
        lambda values: values.update(unlabelled="perhaps"),
        lambda values: values.update(pixel_size_nm=[1]),
        lambda values: values["cleaning"].update(spikes="all"),
        lambda values: values.update(classes=None),
    ],
)
def test_damaged_records_are_said_in_one_line(run, change):
    damaged(run.folder, change)
    with pytest.raises(RunError, match=r"run\.json. is damaged \(.+\): restore it") as error:
        read_run(run.folder)
    assert "\n" not in str(error.value)


def test_a_run_without_weights_is_said(run):
    with pytest.raises(RunError, match=r"has no weights\.safetensors.*train it again"):
        run.read_weights()


class Bomb:
    gone_off = False

    def __reduce__(self):
        return (setattr, (Bomb, "gone_off", True))


def strange_weights():
    good = save({"a": np.arange(12, dtype=np.float32)})
    header = json.dumps({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    return {
        "empty": b"",
        "text": b"not weights at all",
        "truncated": good[:-5],
        "header": good[:12],
        "huge header": (2**60).to_bytes(8, "little") + good[8:],
        "pickle": pickle.dumps(Bomb()),
        "other numbers": len(header).to_bytes(8, "little") + header + bytes(4),
    }


@pytest.mark.parametrize("kind", strange_weights())
def test_a_file_that_holds_no_weights_is_said(run, kind):
    (run.folder / "weights.safetensors").write_bytes(strange_weights()[kind])
    with pytest.raises(RunError, match=r"is not a weights file .*restore it from a copy or train"):
        run.read_weights()
    assert not Bomb.gone_off


def test_hashes_tell_values_types_and_shapes_apart():
    values = np.arange(12, dtype=np.int16)
    same = [values, values.copy(), np.arange(24, dtype=np.int16)[:12]]
    assert len({array_hash(each) for each in same}) == 1
    others = [
        values,
        values + 1,
        values.astype(np.int32),
        values.reshape(3, 4),
        values.reshape(4, 3),
    ]
    assert len({array_hash(each) for each in others}) == len(others)
    turned = np.asfortranarray(values.reshape(3, 4))
    assert array_hash(turned) == array_hash(values.reshape(3, 4))


@pytest.mark.parametrize("kind", ["u1", "u2", "i4", "i8", "bool"])
def test_labels_kept_in_a_smaller_type_are_given_back_as_they_were(kind):
    given = (np.arange(12).reshape(3, 4) % 2).astype(kind)
    found = labels_as_given(given.astype(np.uint8), array_hash(given))
    assert found is not None
    assert found.dtype == given.dtype
    assert np.array_equal(found, given)
    assert labels_as_given(1 - given.astype(np.uint8), array_hash(given)) is None


def test_versions_are_those_installed():
    import torch

    versions = library_versions()
    assert versions["numpy"] == np.__version__
    assert torch.__version__.startswith(versions["torch"].split("+")[0])


def test_no_module_of_runs_can_unpickle():
    assert not {"pickle", "torch", "joblib"} & set(vars(runs))
