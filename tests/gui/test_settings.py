"""Settings that last: runs folder and scheduler, and what happens where no scheduler answers."""

import json
import os
from pathlib import Path

import pytest
from qtpy.QtWidgets import QApplication

from napari_tem_rf import settings
from napari_tem_rf.engine import Engine, InlineEngine
from napari_tem_rf.gui.pieces.parts import Choice
from napari_tem_rf.gui.segment.place import PlaceWidget, SettingsDialog
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.settings import Settings, address_trouble, read_settings, remember


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "config" / "settings.json"
    monkeypatch.setenv("TEM_RF_CONFIG", str(path))
    return path


def test_what_is_remembered_comes_back_and_foreign_values_stay(file):
    assert read_settings() == Settings()
    assert read_settings().runs_path == Path.home() / "napari-tem-rf"
    file.parent.mkdir()
    file.write_text('{"later": 3, "scheduler": 5}')
    assert read_settings() == Settings()
    remember(runs_folder="/data/runs")
    remember(scheduler="tcp://10.0.0.7:8786")
    assert read_settings() == Settings("/data/runs", "tcp://10.0.0.7:8786")
    assert json.loads(file.read_text())["later"] == 3


def test_a_damaged_file_means_the_defaults(file):
    file.parent.mkdir()
    for text in ("{", "[]", "\x00"):
        file.write_text(text)
        assert read_settings() == Settings()


@pytest.mark.timeout(20)
def test_any_file_means_settings(file):
    """Whatever is in it, and even if it is a pipe: the defaults, or texts of bounded length."""
    file.parent.mkdir()
    texts = ["[" * 100_000, '{"scheduler": NaN}', "[" + "1," * 600_000 + "1]", "\udcff"]
    values = [None, 5, [], {}, "x" * 20_000, "a\0b", "\x1b[2J"]
    texts += [json.dumps({"runs_folder": value, "scheduler": value}) for value in values]
    for text in texts:
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert read_settings() == Settings()
    file.unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(file)
        assert read_settings() == Settings()


def test_they_lie_where_the_system_keeps_settings(monkeypatch):
    monkeypatch.delenv("TEM_RF_CONFIG")
    path = settings.settings_file()
    assert path.name == "settings.json"
    assert "napari-tem-rf" in path.parts


@pytest.mark.parametrize("address", ["", "tcp://10.0.0.7:8786", "tls://node-17.example.org:80"])
def test_addresses(address):
    assert address_trouble(address) == ""


@pytest.mark.parametrize("address", ["10.0.0.7:8786", "tcp://node", "http://node:80", "node"])
def test_no_addresses(address):
    assert f'"{address}" is not the address of a Dask scheduler' in address_trouble(address)


def test_a_session_begins_with_them(make_napari_viewer, tmp_path, monkeypatch):
    remember(runs_folder=str(tmp_path / "mine"), scheduler="tcp://10.0.0.7:8786")
    viewer = make_napari_viewer()
    session = Session(viewer)
    assert session.runs_folder == tmp_path / "mine"
    assert session.background.address == "tcp://10.0.0.7:8786"
    monkeypatch.setenv("TEM_RF_SCHEDULER", "tcp://10.0.0.9:1")
    assert Session(viewer).background.address == "tcp://10.0.0.9:1"


def test_the_dialog_changes_session_and_file(session, worker, tmp_path, qtbot):
    dialog = SettingsDialog(session)
    qtbot.addWidget(dialog)
    dialog.address.setText("node17")
    dialog.accept()
    assert "is not the address of a Dask scheduler" in dialog.words.text()
    dialog.address.setText("")
    dialog.folder.setText("runs")
    dialog.accept()
    assert "is not the full path of a folder" in dialog.words.text()
    assert read_settings() == Settings()
    dialog.folder.setText(str(tmp_path / "elsewhere"))
    dialog.accept()
    assert dialog.result() == dialog.DialogCode.Accepted
    assert session.runs_folder == tmp_path / "elsewhere"
    assert read_settings().runs_folder == str(tmp_path / "elsewhere")


def wait(state, *, report, stopped):
    while not stopped():
        pass


def test_work_that_goes_on_keeps_its_place(session, monkeypatch, qtbot):
    monkeypatch.setattr(
        "napari_tem_rf.gui.session.work.Engine", lambda *_: InlineEngine(threaded=True)
    )
    dialog = SettingsDialog(session)
    qtbot.addWidget(dialog)
    work = session.submit(wait, 1, name="training on gold")
    dialog.address.setText("tcp://10.0.0.7:8786")
    dialog.accept()
    assert "Training on gold is running: wait for its end or stop it" in dialog.words.text()
    assert (session.background.address, read_settings().scheduler) == ("", "")
    work.stop()
    qtbot.waitUntil(lambda: work.over, timeout=20_000)


def test_where_nobody_answers_one_sentence_and_the_user_decides(
    viewer, session, monkeypatch, qtbot
):
    """Work goes nowhere else until the button is pressed; the settings keep the address."""
    monkeypatch.setattr("napari_tem_rf.engine.connection.CONNECT_SECONDS", 0.5)
    remember(scheduler="tcp://127.0.0.1:9")
    session.background.move("tcp://127.0.0.1:9")
    place = PlaceWidget(viewer)
    qtbot.addWidget(place)
    assert place.words.text() == "Work runs on: the cluster tcp://127.0.0.1:9."
    assert place.here_button.isHidden()
    failed = []
    session.submit(wait, 1, name="training on gold", on_failed=failed.append)
    qtbot.waitUntil(lambda: bool(failed) and not place.here_button.isHidden(), timeout=60_000)
    assert failed[0].startswith("no Dask scheduler answers at tcp://127.0.0.1:9")
    assert "No Dask scheduler answers at tcp://127.0.0.1:9" in place.words.text()
    assert isinstance(session.engine, Engine)
    assert session.engine.address == "tcp://127.0.0.1:9"

    monkeypatch.setattr(
        "napari_tem_rf.gui.session.work.Engine", lambda *_: InlineEngine(threaded=True)
    )
    place.here_button.click()
    QApplication.processEvents()
    assert session.background.address == ""
    assert place.words.text() == "Work runs on: this process."
    assert place.here_button.isHidden()
    assert read_settings().scheduler == "tcp://127.0.0.1:9"


def test_long_names_are_cut_in_their_middle(qtbot):
    """The folder in brackets first, so that field and score stay readable."""
    choice = Choice()
    qtbot.addWidget(choice)
    title = "120 px, 31.6 k, Dice 0.91 (2026-11-23_19-02-10)"
    choice.addItems([title])
    choice.resize(1000, 24)
    assert choice.shown_text == title
    room = choice.fontMetrics().horizontalAdvance(title)
    choice.resize(room - 20, 24)
    head, dots, end = choice.shown_text.partition("…")
    assert dots
    assert head.startswith("120 px, 31.6 k, Dice 0.91 (")
    assert end.endswith("10)")
    choice.resize(room // 2, 24)
    head, dots, end = choice.shown_text.partition("…")
    assert dots
    assert title.startswith(head)
    assert title.endswith(end)
