"""A file and its record: after a kill at each step of the disk the same export goes on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_tem_rf import exporting, storage
from napari_tem_rf.exporting import Origin, export_table, write_with_record
from napari_tem_rf.micrographs.writing import write_labels
from napari_tem_rf.storage import StorageError

Export = Callable[[Path, str, bool], None]


def table(folder: Path, mask: str, overwrite: bool) -> None:
    rows = pd.DataFrame({"index": [1, 2], "area_px": [len(mask), 13]})
    well, words = export_table(folder / "made.csv", rows, Origin("gold", mask), overwrite)
    assert well, words


def labels(folder: Path, mask: str, overwrite: bool) -> None:
    path, values = folder / "made.npy", np.full((5, 7), len(mask))
    origin = Origin("gold", mask, is_particles=False)
    write_with_record(path, origin, lambda: write_labels(path, values, overwrite=overwrite))


@pytest.fixture(autouse=True)
def at_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "now", lambda: "2026-01-02T03:04:05+00:00")


def killed(
    folder: Path, copies_in: Path, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> list[Path]:
    """Do a work on a folder, and return copies of it as a kill before each step leaves it."""
    copies: list[Path] = []

    def copied(step: Callable[..., None]) -> Callable[..., None]:
        def taken(*arguments: Any) -> None:
            copies.append(shutil.copytree(folder, copies_in / str(len(copies))))
            step(*arguments)

        return taken

    with monkeypatch.context() as patched:
        for name in ("rename", "_delete"):
            patched.setattr(storage, name, copied(getattr(storage, name)))
        work()
    return copies


def contents(folder: Path) -> dict[str, bytes]:
    """Return what stands in a folder, without what is swept."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not storage._ASIDE.fullmatch(path.name)
    }


@pytest.mark.parametrize("export", [table, labels])
def test_after_a_kill_the_same_export_comes_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, export: Export
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    copies = killed(folder, tmp_path / "k", lambda: export(folder, "mask", False), monkeypatch)
    whole = contents(folder)
    assert len(whole) == 2
    assert len(copies) == 2
    for copy in copies:
        export(copy, "mask", False)
        assert contents(copy) == whole


@pytest.mark.parametrize("export", [table, labels])
def test_no_record_stands_beside_a_file_that_it_does_not_describe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, export: Export
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    export(folder, "mask", False)
    before = contents(folder)
    copies = killed(folder, tmp_path / "k", lambda: export(folder, "longer", True), monkeypatch)
    after = contents(folder)
    assert not before.items() & after.items()
    for copy in copies:
        found = contents(copy)
        assert found.items() <= before.items() or found.items() <= after.items()
        export(copy, "longer", True)
        assert contents(copy) == after


@pytest.mark.parametrize("exists", [False, True])
def test_a_file_that_cannot_be_written_leaves_all_as_it_was(tmp_path: Path, exists: bool) -> None:
    if exists:
        labels(tmp_path, "mask", False)
    before = contents(tmp_path)

    def full() -> None:
        raise StorageError(28, "the disk is full")

    with pytest.raises(StorageError, match="disk is full"):
        write_with_record(tmp_path / "made.npy", Origin("gold", "other"), full)
    assert contents(tmp_path) == before
    if exists:
        assert json.loads(before["made.npy.json"])["mask"] == "mask"
