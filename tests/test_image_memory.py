"""What is remembered of an image: bounded, checked, never lost to another window."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from napari_tem_rf import image_memory
from napari_tem_rf.image_memory import (
    RememberedImage,
    forget_images,
    keep,
    memory_folder,
    recall,
    remembered_images,
)
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.networks.spec import NetworkSpec

KEY = "0123456789ab"
CLASSES = Classes((1, 2, 3), ("background", "gold", "dirt"), ("#0072b2", "#e69f00", "#cc79a7"))
GOLD = RememberedImage(
    name="gold_7",
    pixel_size_nm=(0.02, 0.021),
    spec=NetworkSpec((4, 8), filters=8),
    classes=CLASSES,
    strokes_px=4833,
    runs_folder="/data/runs",
    runs=("/data/runs/gold_7/a", "/data/runs/gold_7/b"),
)


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config" / "settings.json"
    monkeypatch.setenv("TEM_RF_CONFIG", str(path))
    return path


def test_what_is_kept_is_recalled() -> None:
    assert recall(KEY) is None
    keep(KEY, GOLD)
    assert recall(KEY) == GOLD
    assert recall("ab" * 6) is None
    assert remembered_images() == 1


def test_what_is_not_said_anew_stays() -> None:
    """A window that only calibrated the image must not take another's strokes and runs away."""
    keep(KEY, GOLD)
    keep(KEY, RememberedImage(name="gold", pixel_size_nm=(0.5, 0.5), runs=("/data/runs/c",)))
    assert recall(KEY) == replace(
        GOLD,
        name="gold",
        pixel_size_nm=(0.5, 0.5),
        runs=("/data/runs/gold_7/a", "/data/runs/gold_7/b", "/data/runs/c"),
    )


def test_only_the_newest_runs_are_kept() -> None:
    for number in range(30):
        keep(KEY, replace(GOLD, runs=(f"/data/{number}",)))
    found = recall(KEY)
    assert found is not None
    assert found.runs == tuple(f"/data/{number}" for number in range(10, 30))


def test_windows_that_write_at_once_lose_nothing() -> None:
    def write(number: int) -> None:
        keep(KEY, replace(GOLD, runs=(f"/data/{number}",)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    found = recall(KEY)
    assert found is not None
    assert set(found.runs) == {f"/data/{number}" for number in range(8)}
    assert [path.name for path in memory_folder().iterdir()] == [f"{KEY}.json"]


def test_the_oldest_images_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_memory, "MOST_IMAGES", 3)
    keys = [f"{number:012x}" for number in range(5)]
    for age, key in enumerate(keys):
        keep(key, GOLD)
        os.utime(memory_folder() / f"{key}.json", (1000 + age, 1000 + age))
    assert [recall(key) is not None for key in keys] == [False, False, True, True, True]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "held",
    [
        b"",
        b"{",
        b"[]",
        b'"gold"',
        b"[" * 100_000,
        b'{"name": NaN}',
        b'{"name": "' + b"x" * 2**19 + b'"}',
        json.dumps({"name": 5}).encode(),
        json.dumps({"name": "a", "pixel_size_nm": [0, -1]}).encode(),
        json.dumps({"name": "a", "pixel_size_nm": [1e400, 1]}).encode(),
        json.dumps({"name": "a", "strokes_px": -5}).encode(),
        json.dumps({"name": "a", "runs": ["a\0b"]}).encode(),
        json.dumps({"name": "a", "spec": {"pools": [4096] * 9}}).encode(),
        json.dumps({"name": "a", "classes": {"values": [1, 1], "names": ["a", "b"]}}).encode(),
    ],
    ids=range(14),
)
def test_a_file_that_is_damaged_or_huge_is_nothing_remembered(held: bytes) -> None:
    memory_folder().mkdir(parents=True)
    (memory_folder() / f"{KEY}.json").write_bytes(held)
    assert recall(KEY) is None
    keep(KEY, GOLD)
    assert recall(KEY) == GOLD


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.timeout(20)
def test_a_pipe_is_nothing_remembered() -> None:
    memory_folder().mkdir(parents=True)
    os.mkfifo(memory_folder() / f"{KEY}.json")
    assert recall(KEY) is None


def test_what_a_newer_version_wrote_stays() -> None:
    keep(KEY, GOLD)
    path = memory_folder() / f"{KEY}.json"
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, "later": 3}), encoding="utf-8")
    assert recall(KEY) == GOLD
    keep(KEY, GOLD)
    assert json.loads(path.read_text(encoding="utf-8"))["later"] == 3


def test_forgetting_leaves_all_other_files(settings: Path) -> None:
    keep(KEY, GOLD)
    settings.write_text("{}")
    other = memory_folder() / "notes.json"
    other.write_text("mine")
    assert forget_images() == 1
    assert (remembered_images(), recall(KEY)) == (0, None)
    assert other.read_text() == "mine"
    assert settings.read_text() == "{}"
    assert forget_images() == 0


def test_a_key_is_no_path() -> None:
    with pytest.raises(ValueError, match="is not the key of an image"):
        recall("../../settings")
