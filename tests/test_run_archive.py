"""A run as one zip: it stands for the folder, and what somebody slipped into it is refused."""

import json
import os
import pickle
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_tem_rf import jobs, run_archive, workflow
from napari_tem_rf.cli.repeating import new_folder
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.writing import write_labels
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.result_folders import read_results, result_kind
from napari_tem_rf.run_archive import (
    ArchiveError,
    is_run_archive,
    is_unpacked,
    pack_run,
    unpacked,
)
from napari_tem_rf.runs import RunError, read_run, run_folder
from napari_tem_rf.starting import read_start, start_file

SPEC = NetworkSpec((2,), filters=3)
PLAN = TrainingPlan(
    epochs=None, steps=3, batch=2, crop_px=32, device="cpu", validation=0.0, seed=9213
)


def scene() -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices((47, 61))
    mask = ((rows - 20) ** 2 + (columns - 30) ** 2 < 12**2).astype(np.uint8)
    counts = np.random.default_rng(752).poisson(400 - 150 * mask.astype(float))
    return counts.astype(np.uint16), mask


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(run_archive.CACHE_VARIABLE, str(tmp_path / "cache"))
    run_archive._unpacked.cache_clear()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    pixels, mask = scene()
    np.save(folder / "gold 1.npy", pixels)
    image = LabelledImage("gold 1", pixels, mask, (0.03, 0.03))
    request = jobs.TrainRequest(
        folder / "run", (image,), SPEC, PLAN, "background",
        sources={"gold 1": str(folder / "gold 1.npy")},
        label_sources={"gold 1": str(folder / "secret" / "labels.tif")},
    )  # fmt: skip
    jobs.train_run(request, report=lambda report: None, stopped=lambda: False)
    return folder / "run"


def share(run: Path, out: Path, **changes) -> Path:
    request = jobs.ShareRequest(run=run, shared_as="run", out=out, **changes)
    return jobs.share_run(request, report=lambda report: None, stopped=lambda: False)


@pytest.fixture
def shared(run, tmp_path) -> Path:
    return share(run, tmp_path / "gold.zip")


def test_a_zip_stands_for_the_folder(run, shared, tmp_path):
    pixels, _ = scene()
    for size in ((47, 61), (31, 60)):
        image = pixels[: size[0], : size[1]]
        here = workflow.predict(run, image, probabilities=True)
        there = workflow.predict(shared, image, probabilities=True)
        assert np.array_equal(here.labels, there.labels)
        assert np.array_equal(here.probabilities, there.probabilities)
    here, there = (workflow.effective_field(each, pixels, (20, 30)) for each in (run, shared))
    assert np.array_equal(here.heat, there.heat)
    weights = read_start(shared, SPEC, read_run(run).record.classes)
    assert all(np.array_equal(weights[n], v) for n, v in read_run(run).read_weights().items())
    assert start_file(shared, SPEC).read_bytes() == (run / "weights.safetensors").read_bytes()


def test_a_training_starts_from_a_zip(shared, tmp_path):
    pixels, mask = scene()
    again = workflow.train(
        [Micrograph(pixels, "gold")], [mask], tmp_path / "again", SPEC, PLAN,
        unlabelled="background", start=shared,
    )  # fmt: skip
    assert again.record.start == str(shared)
    assert again.record.steps == 3


def test_it_is_unpacked_once_and_again_where_it_was_changed(shared, monkeypatch):
    folder = run_folder(shared)
    assert is_unpacked(folder)
    assert not is_unpacked(shared.parent)
    before = (folder / "run.json").stat().st_mtime_ns
    run_archive._unpacked.cache_clear()
    assert run_folder(shared) == folder
    assert (folder / "run.json").stat().st_mtime_ns == before
    (folder / "weights.safetensors").write_bytes(b"something else")
    run_archive._unpacked.cache_clear()
    assert run_folder(shared) == folder
    read_run(shared).read_weights()


def test_where_no_cache_can_be_written_it_is_unpacked_for_this_process(shared, monkeypatch):
    blocked = shared.with_name("a file")
    blocked.write_text("")
    monkeypatch.setenv(run_archive.CACHE_VARIABLE, str(blocked))
    folder = run_folder(shared)
    assert is_unpacked(folder)
    read_run(shared).read_weights()


def test_few_stay_unpacked(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(run_archive, "MOST_KEPT", 2)
    folders = []
    for number in range(4):
        other = tmp_path / f"{number}.zip"
        changed(shared, other, rename={"README.md": None}, comment=str(number))
        folders.append(unpacked(other).parent)
        os.utime(folders[-1], (number, number))
    assert [each.exists() for each in folders] == [False, False, True, True]


def test_the_same_run_makes_the_same_file(run, tmp_path):
    files = [tmp_path / each / "gold.zip" for each in ("a", "b")]
    assert share(run, files[0]).read_bytes() == share(run, files[1]).read_bytes()


def test_nothing_of_this_computer_goes_along(run, shared):
    with zipfile.ZipFile(shared) as archive:
        assert archive.namelist() == [
            "shared.json", "run.json", "README.md", "weights.safetensors", "history.csv",
        ]  # fmt: skip
        text = b"".join(archive.read(n) for n in archive.namelist() if "safet" not in n).decode()
    assert str(run.parent) not in text
    assert "secret" not in text
    record = read_run(shared).record
    assert record.data[0].source is None
    assert record.data[0].pixels_sha256 == read_run(run).record.data[0].pixels_sha256
    assert replace(record, data=()) == replace(read_run(run).record, data=())


def test_images_and_annotation_come_along_where_they_are_asked_for(run, tmp_path):
    out = share(run, tmp_path / "all.zip", images=True)
    (image,) = read_results(out)
    pixels, mask = scene()
    assert image.name == "gold 1"
    assert image.trouble == ""
    assert np.array_equal(image.image.frame(), pixels)
    assert np.array_equal(image.content.labels, mask)
    again = workflow.repeat(out, tmp_path / "again")
    here, there = read_run(run).read_weights(), again.read_weights()
    assert all(np.array_equal(here[name], there[name]) for name in here)
    alone = share(run, tmp_path / "labels.zip", annotation=True)
    (image,) = read_results(alone)
    assert image.image is None
    assert np.array_equal(image.content.labels, mask)


def test_images_whose_names_differ_in_capital_letters_alone_are_told_apart(run, tmp_path):
    opened = read_run(run)
    sources = [tmp_path / folder / name for folder, name in (("a", "Gold.npy"), ("b", "gold.npy"))]
    for path in sources:
        path.parent.mkdir()
        path.write_bytes((run.parent / "gold 1.npy").read_bytes())
    first = opened.record.data[0]
    data = tuple(
        replace(first, name=path.stem, pixels_sha256=hash_, source=str(path))
        for path, hash_ in zip(sources, (first.pixels_sha256, "0" * 64), strict=True)
    )
    two = tmp_path / "two"
    two.mkdir()
    for path in run.iterdir():
        (two / path.name).write_bytes(path.read_bytes())
    read_run(two).with_record(replace(opened.record, data=data))
    with zipfile.ZipFile(share(two, tmp_path / "two.zip", images=True)) as archive:
        names = [name for name in archive.namelist() if name.startswith("images/")]
    assert sorted(names) == ["images/2_gold.npy", "images/Gold.npy"]


def test_it_is_not_resumed_and_repeated_into_a_folder_of_ones_own(shared, tmp_path, monkeypatch):
    pixels, mask = scene()
    image = LabelledImage("gold 1", pixels, mask, (0.03, 0.03))
    request = jobs.TrainRequest(
        run_folder(shared), (image,), SPEC, PLAN, "background", resume=True
    )  # fmt: skip
    with pytest.raises(RunError, match='run "gold" was shared and has no training to go on with'):
        jobs.train_run(request, report=lambda report: None, stopped=lambda: False)
    monkeypatch.chdir(tmp_path)
    assert new_folder(run_folder(shared)) == tmp_path / "gold_repeat"


def test_images_that_are_gone_are_said(run, tmp_path):
    moved = tmp_path / "moved"
    opened = read_run(run)
    data = (replace(opened.record.data[0], source=str(tmp_path / "gone.tif")),)
    moved.mkdir()
    for path in run.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    read_run(moved).with_record(replace(opened.record, data=data))
    with pytest.raises(RunError, match=r'image "gold 1" cannot be shared: .*gone.tif" is not'):
        share(moved, tmp_path / "out.zip", images=True)
    assert not (tmp_path / "out.zip").exists()
    with pytest.raises(FileExistsError):
        share(run, share(run, tmp_path / "once.zip"))


def test_a_folder_and_a_zip_are_told_apart(run, shared, tmp_path):
    assert result_kind(run) == result_kind(shared) == "run"
    plain = tmp_path / "plain.zip"
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("letter.txt", "Dear Ada")
    text = tmp_path / "run.txt"
    text.write_text("no zip")
    assert not is_run_archive(plain)
    assert not is_run_archive(text)
    assert not is_run_archive(tmp_path)
    with pytest.raises(RunError, match=r"is not a run: it has no run\.json"):
        read_run(text)


# what is refused


def changed(source: Path, target: Path, *, add=(), rename=(), comment="", content=()) -> Path:
    """Write a zip like another one, its manifest told of every change but those of ``add``."""
    rename, content = dict(rename), dict(content)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        held = {n: old.read(n) for n in old.namelist() if n != "shared.json"}
        manifest = json.loads(old.read("shared.json"))
        for name, value in content.items():
            held[name] = value
        for before, after in rename.items():
            value = held.pop(before)
            del manifest["files"][before]
            if after is not None:
                held[after] = value
                manifest["files"][after] = {"bytes": len(value), "sha256": "0" * 64}
        new.writestr("shared.json", json.dumps(manifest))
        for name, value in held.items():
            new.writestr(name, value)
        for entry, value in add:
            new.writestr(entry, value, zipfile.ZIP_DEFLATED)
        new.comment = comment.encode()
    return target


def refused(path: Path) -> str:
    """Return the sentence with which a zip is refused; nothing may have been written."""
    cache = Path(os.environ[run_archive.CACHE_VARIABLE])
    before = {each for each in cache.rglob("*") if each.is_file()} if cache.exists() else set()
    with pytest.raises(RunError) as refusal:
        read_run(path)
    after = {each for each in cache.rglob("*") if each.is_file()} if cache.exists() else set()
    assert after == before
    sentence = str(refusal.value)
    assert sentence.startswith(f'"{path}"')
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt", "images/../../evil.tif", "/evil.txt", "..\\evil.txt", "C:\\evil.txt",
        "C:evil.txt", "\\\\server\\share\\evil.txt", "images/..",
    ],
)  # fmt: skip
def test_names_that_lead_out_of_the_folder(shared, tmp_path, name):
    sentence = refused(changed(shared, tmp_path / "evil.zip", add=[(name, b"evil")]))
    assert "would be written outside of the run's folder" in sentence
    assert not list(tmp_path.rglob("evil.t*"))


@pytest.mark.parametrize("name", ["images/gold.tif:hidden", "images/a?.tif", "images/a\tb.tif"])
def test_names_that_windows_has_no_file_for(shared, tmp_path, name):
    sentence = refused(changed(shared, tmp_path / "odd.zip", add=[(name, b"II*\0")]))
    assert sentence.endswith("which is no file of a run")


@pytest.mark.parametrize("place", [0, 5])
def test_a_zero_in_a_name(tmp_path, place):
    """Zipfile cuts a name there, and fails in asking whether what is left is a folder's."""
    path = tmp_path / "gold.zip"
    pack_run(path, "gold", {"run.json": b"{}"})
    held = path.read_bytes()
    name = bytearray(b"run.json")
    name[place] = 0
    path.write_bytes(held.replace(b"run.json", bytes(name)))
    with pytest.raises(ArchiveError, match=r"(which is no file of a run|damaged zip)"):
        unpacked(path)


def test_small_and_capital_letters_where_they_are_the_same(shared, tmp_path, monkeypatch):
    """As on Windows and the Mac: the second of two files finds the first there."""
    data = {"images/Gold.tif": b"II*\0 1", "images/gold.tif": b"II*\0 2"}
    path = tmp_path / "two.zip"
    pack_run(path, "two", {"run.json": b"{}", **data})
    open_file = Path.open

    def opened(self, mode="r", **options):
        if mode == "xb" and self.parent.is_dir():
            taken = {each.name.casefold() for each in self.parent.iterdir()}
            if self.name.casefold() in taken:
                raise FileExistsError(17, "File exists", str(self))
        return open_file(self, mode, **options)

    monkeypatch.setattr(Path, "open", opened)
    assert '"images/gold.tif" in it differs from another name in small and capital' in refused(path)


def test_links(shared, tmp_path):
    link = zipfile.ZipInfo("images/passwd")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "is a link" in refused(changed(shared, tmp_path / "link.zip", add=[(link, "/etc")]))


def test_a_bomb(shared, tmp_path):
    bomb = changed(shared, tmp_path / "bomb.zip", add=[("images/a.tif", bytes(64 * 2**20))])
    assert bomb.stat().st_size < 2**20
    assert "times its size, at most 100 is believed" in refused(bomb)


def test_more_than_fits(shared, tmp_path, monkeypatch):
    with monkeypatch.context() as change:
        change.setattr(run_archive, "LARGEST_UNPACKED", 3_000)
        assert "would unpack to" in refused(shared)
    monkeypatch.setattr(run_archive, "MOST_FILES", 3)
    assert "5 files, at most 3" in refused(shared)


def test_files_that_lie_on_each_other(shared, tmp_path):
    """All entries but one are listed again with the place of the first: the list is longer."""
    target = changed(shared, tmp_path / "overlap.zip", add=[("images/a.tif", os.urandom(90_000))])
    with zipfile.ZipFile(target, "a") as archive:
        archive.start_dir = archive.fp.seek(archive.start_dir)
        for number in range(3):
            again = zipfile.ZipInfo(f"images/{number}.tif")
            first = archive.getinfo("images/a.tif")
            for name in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(again, name, getattr(first, name))
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
        archive._didModify = True
    assert "overlap" in refused(target)


@pytest.mark.parametrize("name", ["weights.safetensors", "run.json", "history.csv"])
def test_a_wrong_hash(shared, tmp_path, name):
    with zipfile.ZipFile(shared) as archive:
        held = bytearray(archive.read(name))
    held[-3] ^= 1
    wrong = changed(shared, tmp_path / "wrong.zip", content={name: bytes(held)})
    assert f'"{name}" is not what was shared: its hash is another one' in refused(wrong)
    assert not list((tmp_path / "cache").glob("*/*"))


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("touched"),)


@pytest.mark.parametrize("name", ["evil.pkl", "checkpoint.pt", "images/evil.pth", "evil.joblib"])
def test_a_pickle_by_its_name(shared, tmp_path, name):
    sentence = refused(changed(shared, tmp_path / "evil.zip", add=[(name, pickle.dumps(Evil()))]))
    assert "may hold code that runs when it is opened" in sentence


@pytest.mark.parametrize("name", ["weights.safetensors", "history.csv", "images/gold.tif"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_under_another_name(shared, tmp_path, monkeypatch, name, protocol):
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps([Evil(), bytes(99)], protocol)
    evil = changed(shared, tmp_path / "evil.zip", content={name: pickled})
    with zipfile.ZipFile(evil) as archive:
        manifest = json.loads(archive.read("shared.json"))
    manifest["files"][name] = {"bytes": len(pickled), "sha256": "0" * 64}
    told = tmp_path / "told.zip"
    with zipfile.ZipFile(evil) as old, zipfile.ZipFile(told, "w") as new:
        for each in old.namelist():
            new.writestr(each, json.dumps(manifest) if each == "shared.json" else old.read(each))
    assert "pickle" in refused(told)
    assert not Path("touched").exists()


def test_files_that_are_missing_or_too_many(shared, tmp_path):
    with zipfile.ZipFile(shared) as old, zipfile.ZipFile(tmp_path / "few.zip", "w") as new:
        for name in old.namelist():
            if name != "history.csv":
                new.writestr(name, old.read(name))
    assert '"history.csv" is missing in it' in refused(tmp_path / "few.zip")
    more = changed(shared, tmp_path / "more.zip", add=[("annotation.ome.tif", b"II*\0")])
    assert "of which its shared.json says nothing" in refused(more)
    other = changed(shared, tmp_path / "other.zip", add=[("letter.txt", b"Dear Ada")])
    assert "is no file of a run" in refused(other)
    by_hand = tmp_path / "by hand.zip"
    with zipfile.ZipFile(shared) as old, zipfile.ZipFile(by_hand, "w") as new:
        new.writestr("run.json", old.read("run.json"))
    assert "it holds no shared.json" in refused(by_hand)
    model = tmp_path / "model.zip"
    with zipfile.ZipFile(model, "w") as new:
        new.writestr("rdf.yaml", "type: model")
    assert "it is a model of the BioImage Model Zoo" in refused(model)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_name_twice(shared, tmp_path):
    twice = changed(shared, tmp_path / "twice.zip", add=[("run.json", b"{}")])
    assert 'it holds "run.json" twice' in refused(twice)


def test_a_damaged_zip(shared, tmp_path):
    content = bytearray(shared.read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(content)
    assert "damaged" in refused(tmp_path / "damaged.zip")
    (tmp_path / "cut.zip").write_bytes(shared.read_bytes()[: len(content) // 2])
    with pytest.raises(RunError, match=r"none or not a whole one \([\d,]+ bytes\): get it again"):
        read_run(tmp_path / "cut.zip")


def test_a_forest_is_shared_as_a_run_alone(tmp_path):
    pixels, mask = scene()
    forest = workflow.fit_baseline(
        [pixels], [mask], tmp_path / "forest", unlabelled="background", validation=0.0
    )
    assert forest is not None
    out = share(forest.folder, tmp_path / "forest.zip")
    here, there = (workflow.predict(each, pixels).labels for each in (forest.folder, out))
    assert np.array_equal(here, there)
    for shared_as in ("onnx", "bioimage.io"):
        request = jobs.ShareRequest(run=out, shared_as=shared_as, out=tmp_path / "no")
        with pytest.raises(ValueError, match="random forest and no network"):
            jobs.share_run(request, report=lambda report: None, stopped=lambda: False)


def test_masks_of_an_unpacked_run_stand_where_runs_are_kept(shared, run, monkeypatch):
    from napari_tem_rf.mask_predicting import masks_folder
    from napari_tem_rf.settings import read_settings

    assert masks_folder(run) == run.with_name("run_masks")
    folder = run_folder(shared)
    assert masks_folder(folder) == read_settings().runs_path / f"{folder.name}_masks"


def test_labels_of_a_run_keep_their_pixel_size(tmp_path):
    write_labels(tmp_path / "annotation.ome.tif", scene()[1], (0.03, 0.03))
    assert (tmp_path / "annotation.ome.tif").read_bytes()[:4] in run_archive._TIFF


@pytest.mark.parametrize("damage", ["name", "place"])
def test_headers_that_lie_are_refused(tmp_path, damage):
    """A name that is no UTF-8 in a file's own header, and a file before the zip's beginning."""
    path = tmp_path / "gold.zip"
    pack_run(path, "gold", {"run.json": b"{}"})
    held = bytearray(path.read_bytes())
    listed = held.index(b"PK\x01\x02")
    if damage == "name":
        held[7] |= 0x08  # names are said to be UTF-8
        held[30] = 0xBE
    else:
        end = held.rindex(b"PK\x05\x06")
        # zipfile takes what the directory's place is off as the place of the first file
        held[end + 16 : end + 20] = (listed + 5000).to_bytes(4, "little")
    path.write_bytes(held)
    with pytest.raises(ArchiveError, match="damaged zip"):
        unpacked(path)
