"""``train --repeat``: the same weights from a run's folder alone, or why that cannot be."""

import json
import shutil

import numpy as np
import pytest
import tifffile

from napari_tem_rf import jobs
from napari_tem_rf.cli import main
from napari_tem_rf.jobs.repeating import largest_difference, repetition
from napari_tem_rf.learning import crops
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.runs import HISTORY, RECORD, read_run
from napari_tem_rf.workflow import repeat

from .conftest import QUICK, discs


def changed(folder, **values):
    """Change fields of a run's record as an editor would."""
    path = folder / RECORD
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | values))


@pytest.fixture(autouse=True, scope="module")
def few_steps():
    """Let epochs be of two steps, in the first training and when it is repeated."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(crops, "FEWEST_STEPS", 2)
        patched.setattr(crops, "MOST_STEPS", 2)
        yield


@pytest.fixture(scope="module")
def original(data, tmp_path_factory):
    """Folder of a run, and of copies of its images, in a place of their own."""
    folder = tmp_path_factory.mktemp("original")
    shutil.copytree(data.images, folder / "images")
    with pytest.raises(SystemExit) as left:
        main(
            [
                *("train", str(folder / "images"), "--labels", str(data.masks)),
                *("--run", str(folder / "run"), "--epochs", "1", "--seed", "140"),
                *("--spikes", "robust", "--validation", "0.25", *QUICK),
            ]
        )
    assert not left.value.code
    return folder


@pytest.fixture
def moved(original, tmp_path):
    """Return a copy of the run that is free to be damaged."""
    return shutil.copytree(original / "run", tmp_path / "run")


def test_weights_are_equal_to_the_last_bit(cli, original, tmp_path):
    before = {path.name: path.read_bytes() for path in (original / "run").iterdir()}
    answer = cli("train", "--repeat", original / "run", "--run", tmp_path / "new", "--json")
    assert answer.code == 0
    assert answer.json["largest_weight_difference"] == 0
    assert f'the weights are those of "{original / "run"}": largest difference 0' in answer.err
    first, second = read_run(original / "run"), read_run(tmp_path / "new")
    for name, weights in first.read_weights().items():
        np.testing.assert_array_equal(second.read_weights()[name], weights, err_msg=name)
    for same in ("spec", "classes", "cleaning", "unlabelled", "data", "split", "scores", "epochs"):
        assert getattr(second.record, same) == getattr(first.record, same), same
    assert second.record.plan.seed == 140
    # the run that was repeated is as it was
    assert {path.name: path.read_bytes() for path in (original / "run").iterdir()} == before


def test_new_folder_is_beside_the_run(cli, moved):
    for name in ("run_repeat", "run_repeat_2"):
        assert cli("train", "--repeat", moved).code == 0
        assert read_run(moved.with_name(name)).record.state == "finished"


def test_images_are_found_by_their_pixels_where_they_are_now(cli, original, moved, tmp_path):
    """Moved, one renamed, among others that are not the run's."""
    now = shutil.copytree(original / "images", tmp_path / "now")
    (now / "gold_1.tif").rename(now / "renamed.tif")
    tifffile.imwrite(now / "other.tif", discs(9)[0])
    record = json.loads((moved / RECORD).read_text())
    for entry in record["data"]:
        entry["source"] = str(tmp_path / "gone" / f"{entry['name']}.tif")
    changed(moved, data=record["data"])
    assert 'image "gold_0"' in (said := cli("train", "--repeat", moved).error)
    assert "give the images where they are now" in said
    answer = cli("train", now, "--repeat", moved, "--run", tmp_path / "new", "--json")
    assert answer.json["largest_weight_difference"] == 0
    sources = {entry.name: entry.source for entry in read_run(tmp_path / "new").record.data}
    assert sources["gold_1"] == str(now / "renamed.tif")


def test_other_pixels_are_refused(cli, original, moved, tmp_path):
    now = shutil.copytree(original / "images", tmp_path / "now")
    pixels = tifffile.imread(now / "gold_2.tif")
    pixels[0, 0] += 1
    tifffile.imwrite(now / "gold_2.tif", pixels)
    said = cli("train", now, "--repeat", moved, "--run", tmp_path / "new").error
    assert f'image "gold_2" in "{now / "gold_2.tif"}" does not have the pixels that run' in said
    assert not (tmp_path / "new").exists()
    (now / "gold_2.tif").unlink()
    said = cli("train", now, "--repeat", moved, "--run", tmp_path / "new").error
    assert 'image "gold_2" of run' in said
    assert "is in none of the 3 files looked at" in said


def test_other_labels_are_refused(cli, moved):
    record = read_run(moved).record
    path = moved / record.data[0].annotation
    labels = tifffile.imread(path)
    labels[0, 0] = 1 - labels[0, 0]
    tifffile.imwrite(path, labels)
    said = cli("train", "--repeat", moved).error
    assert "are not those that it was trained from: restore the file" in said
    path.unlink()
    assert (
        f"is missing its file {record.data[0].annotation}" in cli("train", "--repeat", moved).error
    )


def test_a_training_that_has_not_ended_is_not_repeated(cli, moved):
    changed(moved, state="training")
    assert "has not ended: resume it first" in cli("train", "--repeat", moved).error


@pytest.mark.parametrize("wrong", [["--seed", 5], ["--epochs", 3], ["--resume"], ["--pools", 4]])
def test_settings_come_from_the_run(cli, moved, wrong):
    answer = cli("train", "--repeat", moved, *wrong)
    assert answer.code == 2
    assert wrong[0] in answer.err
    assert "a repeated training takes it from its run" in answer.err


def test_what_may_round_otherwise_is_said(cli, moved):
    record = json.loads((moved / RECORD).read_text())
    changed(moved, versions=record["versions"] | {"torch": "1.0"}, threads=0)
    answer = cli("train", "--repeat", moved)
    assert "the run was trained with torch 1.0 (here " in answer.err
    assert "does not say how many threads" in answer.err


def trained(folder, plan, start=None, counted=None):
    """Train in this process on one image that no file holds."""
    pixels, mask = discs(3)
    np.save(folder.with_name("gold.npy"), pixels)
    image = LabelledImage("gold", pixels, mask.astype(np.int64), None, "one", counted)
    request = jobs.TrainRequest(
        run=folder,
        images=(image,),
        spec=NetworkSpec((2,), filters=3),
        plan=plan,
        unlabelled="background",
        start=start,
        gap_px=11,
        sources={"gold": str(folder.with_name("gold.npy"))},
    )
    jobs.train_run(request, report=lambda report: None, stopped=lambda: False)
    return read_run(folder)


def test_a_training_that_ended_by_its_time_is_repeated_by_its_steps(tmp_path):
    """Within an epoch too; started from another run, held-out pixels not counted."""
    counted = np.ones(discs(3)[1].shape, bool)
    counted[:, 60:] = False
    first = trained(tmp_path / "first", TrainingPlan(epochs=1, validation=0))
    timed = trained(
        tmp_path / "timed",
        TrainingPlan(epochs=None, steps=7, batch=2, validation=0.2),
        start=first.folder,
        counted=counted,
    )
    # as it would be had the clock ended it there
    timed = timed.with_record(
        type(timed.record)(
            **{
                name: getattr(timed.record, name)
                for name in timed.record.__dataclass_fields__
                if name != "plan"
            },
            plan=TrainingPlan(epochs=None, seconds=5, batch=2, validation=0.2),
        )
    )
    again = repeat(timed, tmp_path / "again")
    assert again.record.steps == timed.record.steps == 7
    assert again.record.gap_px == 11
    assert largest_difference(timed, again) == 0
    assert largest_difference(timed, first) > 0

    trained_on = first.with_record(first.record)
    weights = {name: value + 1 for name, value in trained_on.read_weights().items()}
    trained_on.write_weights(weights)
    with pytest.raises(ValueError, match="was trained on since: restore that folder"):
        repeat(timed, tmp_path / "third")
    shutil.rmtree(first.folder)
    with pytest.raises(ValueError, match="which is not there any more"):
        repeat(timed, tmp_path / "third")


def test_a_break_within_an_epoch_is_said(original, moved):
    (moved / HISTORY).write_text(
        "epoch,steps\n" + "".join(f"{n},{s}\n" for n, s in enumerate((4, 6, 10), start=1))
    )
    (note,) = repetition(read_run(moved), moved / "new", [original / "images"]).notes
    assert note.startswith("the run was stopped within epoch 2 and went on later")
