"""A kill at each write of a command: the same command continues or begins again, to the same bytes.

What a kill leaves is the state of the disk at that moment. So a command runs once, and before each
of its steps on the disk the folder is copied; then the same command is given every copy.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_tem_rf import storage
from napari_tem_rf.cli import comparing, main
from napari_tem_rf.comparison import report
from napari_tem_rf.engine import InlineEngine
from napari_tem_rf.storage import write_text

from .conftest import QUICK, SHAPE, discs

pytestmark = pytest.mark.usefixtures("few_steps")

OF_THE_MOMENT = {"created", "seconds", "date", "device", "threads", "versions"}
"""What a record says of when and how long; all else must be the same."""

COSTS = {"train_seconds", "predict_seconds_per_megapixel", "predict_memory_mib"}


@pytest.fixture
def killed(monkeypatch, tmp_path):
    """Return a function that gives the disk before each step of a work on a folder."""

    def states(folder, work):
        copies = []

        def copied(step):
            def taken(*arguments):
                copy = tmp_path / "killed" / f"{len(copies):03}" / folder.name
                shutil.copytree(folder, copy)
                copies.append(copy)
                return step(*arguments)

            return taken

        with monkeypatch.context() as patched:
            for name in ("rename", "_delete"):
                patched.setattr(storage, name, copied(getattr(storage, name)))
            work(folder)
        return copies

    return states


def command(*arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert not left.value.code


def contents(folder):
    """Return every file below a folder; of records all but what depends on the clock."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix == ".json":
            found[name] = timeless(json.loads(path.read_text()))
        elif path.name == "history.csv":
            rows = [line.split(",") for line in path.read_text().splitlines()]
            timed = rows[0].index("seconds")
            found[name] = [row[:timed] + row[timed + 1 :] for row in rows]
        elif path.suffix in (".csv", ".html", ".pt"):
            found[name] = "seconds are in it"
        else:
            found[name] = path.read_bytes()
    return found


def timeless(values):
    if isinstance(values, dict):
        left_out = OF_THE_MOMENT | COSTS
        return {k: timeless(v) for k, v in values.items() if k not in left_out}
    return [timeless(each) for each in values] if isinstance(values, list) else values


def check(work, folder, copies, least):
    """Give each copy to the work; it must come to what the unbroken one came to, and no more."""
    whole = contents(folder)
    assert len(copies) >= least
    for copy in copies:
        work(copy)
        assert contents(copy) == whole, copy
        assert not list(copy.rglob(".*")), copy


def test_train(data, tmp_path, killed):
    def work(folder):
        image = data.images / "gold_0.tif"
        command("train", image, "--labels", data.masks, "--run", folder, "--epochs", 2, *QUICK)

    copies = killed(tmp_path / "gold", work)
    assert (copies[1] / "run.json").is_file()
    check(work, tmp_path / "gold", copies, 9)


def test_labels_that_version_0_1_0_wrote_before_its_record_are_no_obstacle(data, tmp_path, cli):
    train = ("train", data.images / "gold_0.tif", "--labels", data.masks, "--epochs", 1, *QUICK)
    assert cli(*train, "--run", tmp_path / "whole").code == 0
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(tmp_path / "whole" / "annotation.ome.tif", begun)
    assert cli(*train, "--run", begun).code == 0
    other = tmp_path / "other"
    other.mkdir()
    tifffile.imwrite(other / "annotation.ome.tif", np.zeros(SHAPE, np.uint8))
    assert "exists and is not empty" in cli(*train, "--run", other).error
    assert [path.name for path in other.iterdir()] == ["annotation.ome.tif"]


def test_the_same_command_leaves_another_training_alone(data, tmp_path, killed, cli):
    def train(folder, seed):
        image = data.images / "gold_0.tif"
        more = ("--run", folder, "--epochs", 1, "--seed", seed, *QUICK)
        return cli("train", image, "--labels", data.masks, *more)

    *_, copy = killed(tmp_path / "gold", lambda folder: train(folder, 1))
    assert "exists and is not empty: resume it" in train(copy, 2).error
    assert train(copy, 1).code == 0


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "growth.tif"
    tifffile.imwrite(path, np.stack([discs(seed)[0] for seed in (7, 8, 9)]), imagej=True)
    return path


def test_predict_a_series_and_its_probabilities(series, tmp_path, killed, run):
    def work(out):
        command("predict", run, series, "--out", out, "--probabilities")

    check(work, tmp_path / "out", killed(tmp_path / "out", work), 10)


def test_predict_a_folder(data, run, tmp_path, killed):
    def work(out):
        command("predict", run, data.images, "--out", out)

    check(work, tmp_path / "out", killed(tmp_path / "out", work), 8)


def test_measure(data, tmp_path, killed):
    def work(folder):
        folder.mkdir(exist_ok=True)
        command("measure", data.masks, "--out", folder / "particles.csv")

    check(work, tmp_path / "sizes", killed(tmp_path / "sizes", work), 1)


@pytest.mark.slow
def test_compare(data, tmp_path, killed, monkeypatch):
    def drawn(comparison):
        write_text(comparison.folder / "curve.svg", "<svg/>")
        return {"curve": "a curve"}

    # drawing takes seconds, and writes each figure in one step
    monkeypatch.setattr(report, "draw_curves", drawn)
    monkeypatch.setattr(report, "draw_side_by_side", lambda *_: {})
    monkeypatch.setattr(comparing, "_engine", lambda *_: InlineEngine())

    def work(out):
        command(
            *("compare", data.images, "--labels", data.masks, "--out", out, "--epochs", 1),
            *("--receptive-fields", "5", "--parameters", "400", "--seeds", 1, "--no-baselines"),
            *("--unlabelled", "background", "--device", "cpu"),
        )

    check(work, tmp_path / "out", killed(tmp_path / "out", work), 20)


def test_a_store_that_is_being_replaced_comes_back(tmp_path):
    """A folder is replaced by two renames: a kill between them must not lose the earlier one."""
    store = tmp_path / "mask.ome.zarr"
    store.mkdir()
    (store / "0").write_text("earlier")
    left = Path(storage._beside(store, earlier=True))
    store.rename(left)
    storage.sweep(tmp_path)
    assert (store / "0").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["mask.ome.zarr"]


def test_what_others_write_is_not_swept(tmp_path):
    others = [
        ".mask-0123456789ab.tif",
        ".hidden",
        f".mask~{'0' * 8}-1-{'a' * 12}.tif",  # another computer's
        f".mask~{storage._host()}-{1}-{'a' * 12}.tif",  # a process that is there
    ]
    for name in others:
        (tmp_path / name).write_text("x")
    gone = tmp_path / f".mask~{storage._host()}-{2**22 + 1}-{'a' * 12}.tif"
    gone.write_text("x")
    with storage.write_aside(tmp_path / "mask.tif") as aside:
        aside.write_text("x")
        storage.sweep(tmp_path)
        assert aside.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "mask.tif"])
