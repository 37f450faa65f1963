"""What differs on Windows and on the Mac, where none is at hand: a file held open, an exit code.

Exit codes of Windows: NTSTATUS values, [MS-ERREF] section 2.3.1; flags of CreateProcess:
"Process Creation Flags" of Microsoft. The words of a full Apple GPU: MPSAllocator.mm of PyTorch.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_tem_rf import storage
from napari_tem_rf.engine.local import by_force, ending_in_words, start_options
from napari_tem_rf.runs import Run
from napari_tem_rf.storage import StorageError, remove, write_text


class Held:
    """Stands for a call that Windows refuses while somebody has the file open."""

    def __init__(self, call: Any, times: float) -> None:
        self.call, self.times, self.asked = call, times, 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.asked += 1
        if self.asked <= self.times:
            raise PermissionError(13, "The process cannot access the file", str(arguments[0]))
        return self.call(*arguments, **options)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_on_windows", lambda: True)
    monkeypatch.setattr(time, "sleep", lambda _: None)


def test_a_file_that_a_scanner_holds_is_replaced_when_it_lets_go(
    windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    write_text(path, "earlier")
    held = Held(os.replace, 3)
    monkeypatch.setattr(os, "replace", held)
    write_text(path, "later")
    assert held.asked == 4
    assert path.read_text() == "later"
    unlink = Held(Path.unlink, 2)
    monkeypatch.setattr(Path, "unlink", lambda *given, **options: unlink(*given, **options))
    remove(path)
    assert not path.exists()


def test_a_run_that_was_refused_goes_when_its_files_are_let_go(
    windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("run.json", "history.csv", "annotation.ome.tif"):
        (tmp_path / name).write_text("{}")
    record: Any = None
    unlink = Held(Path.unlink, 2)
    monkeypatch.setattr(Path, "unlink", lambda *given, **options: unlink(*given, **options))
    Run(tmp_path, record).discard(["annotation.ome.tif"])
    assert not list(tmp_path.iterdir())
    assert unlink.asked == 7  # two that were refused, and each of five files


def test_a_file_that_stays_open_is_left_as_it_was(
    windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "earlier")
    monkeypatch.setattr(storage, "_HELD_SECONDS", 0.05)
    monkeypatch.setattr(os, "replace", Held(os.replace, float("inf")))
    with pytest.raises(StorageError, match=r"another program has it open, .* close it there"):
        write_text(path, "later")
    assert path.read_text() == "earlier"
    assert [each.name for each in tmp_path.iterdir()] == ["table.csv"]


def test_elsewhere_a_refusal_is_no_reason_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(os.replace, 1)
    monkeypatch.setattr(os, "replace", held)
    with pytest.raises(StorageError, match="make room or choose another folder"):
        write_text(tmp_path / "a.txt", "a")
    assert held.asked == 1


def test_a_path_too_long_for_windows_is_named(
    windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", Held(os.replace, float("inf")))
    monkeypatch.setattr(storage, "_HELD_SECONDS", 0.0)
    folder = tmp_path / ("f" * 120) / ("g" * 120)
    with pytest.raises(StorageError, match="its path is too long for Windows, which takes 259"):
        write_text(folder / "run.json", "{}")


def test_a_path_too_long_for_windows_is_named_inside_of_a_folder_too(
    windows: None, tmp_path: Path
) -> None:
    """As where the zip of a run is unpacked: "path not found" says Windows."""

    def write() -> None:
        with storage.write_aside(tmp_path / "run") as aside:
            aside.mkdir()
            raise FileNotFoundError(2, "No such file", str(aside / ("i" * 240 + ".tif")))

    with pytest.raises(StorageError, match="its path is too long for Windows, which takes 259"):
        write()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3221225477, "it was ended by an access violation"),  # 0xC0000005
        (0xC0000017, "it was ended by lack of memory"),
        (-9, "it was ended by SIGKILL, as when memory runs out"),
        (-99, "it was ended by signal 99"),
        (1, "it ended with exit code 1"),
        (None, "it ended with exit code None"),
    ],
)
def test_how_a_worker_ended_is_told_on_every_system(code: int | None, words: str) -> None:
    assert ending_in_words(code) == words


@pytest.mark.parametrize(
    ("platform", "code", "said", "forced"),
    [
        ("linux", -9, "", True),
        ("linux", 1, "", False),
        ("linux", 1 << 16, "", True),  # nobody saw how
        ("linux", None, "", False),
        ("win32", 1, "", True),  # the task manager and TerminateProcess of Python
        ("win32", 1, "ImportError: no module named dask", False),
        ("win32", 0xC0000005, "", True),
        ("win32", 0, "", False),
        ("win32", None, "", False),
    ],
)
def test_who_was_ended_by_force(platform: str, code: int | None, said: str, forced: bool) -> None:
    assert by_force(code, said, platform) == forced


def test_a_training_gives_way_to_the_window_on_windows_too() -> None:
    assert start_options("training-0", "linux") == start_options("quick", "darwin")
    training, quick = (
        start_options(role, "win32")["creationflags"] for role in ("training-0", "quick")
    )
    assert quick == 0x08000000 | 0x00000200
    assert training ^ quick == 0x00004000
    if sys.platform == "win32":
        assert training == (
            subprocess.CREATE_NO_WINDOW
            | subprocess.CREATE_NEW_PROCESS_GROUP
            | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        )


def test_the_memory_of_an_apple_gpu_can_be_full() -> None:
    from napari_tem_rf.learning.device import out_of_memory

    words = (
        "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB, max "
        "allowed: 9.07 GB). Tried to allocate 256 bytes on private pool."
    )
    assert out_of_memory(RuntimeError(words))
    assert not out_of_memory(RuntimeError("The operator is not implemented for the MPS device"))
    assert os.environ["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"


def test_names_that_an_output_has_no_letters_for_are_written_out(tmp_path: Path) -> None:
    """A console or a file of Windows' western code page, and a file name in Chinese."""
    tifffile.imwrite(tmp_path / "金.tif", np.zeros((5, 7), np.uint8))
    done = subprocess.run(
        [sys.executable, "-c", "from napari_tem_rf.cli import main; main()", "info", str(tmp_path)],
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\u91d1.tif" in done.stdout
