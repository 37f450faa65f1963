"""Work in threads: answers in the window's thread, the newest request wins."""

import threading
from typing import Any

from qtpy.QtWidgets import QLabel

from napari_tem_rf.gui.session.background import Latest, run_in_thread, stepwise


def test_answers_come_in_the_windows_thread(qtbot: Any) -> None:
    here = threading.current_thread()
    seen: list[Any] = []

    def count(stopped: Any, say: Any) -> str:
        say(threading.current_thread() is here)
        return "counted"

    def answer(value: Any) -> None:
        seen.append((value, threading.current_thread() is here))

    work = run_in_thread(count, answer, answer, answer)
    qtbot.waitUntil(lambda: work.is_over, timeout=5_000)
    assert seen == [(False, True), ("counted", True)]


def test_what_fails_says_one_sentence(qtbot: Any) -> None:
    said: list[str] = []

    def refuse(stopped: Any, say: Any) -> None:
        raise ValueError("the image is constant")

    def break_down(stopped: Any, say: Any) -> None:
        raise KeyError("row")

    for function in (refuse, break_down):
        work = run_in_thread(function, said.append, said.append)
        qtbot.waitUntil(lambda work=work: work.is_over, timeout=5_000)
    assert said == ["the image is constant", "KeyError: 'row'"]


def test_the_newest_request_wins_and_older_work_is_stopped(qtbot: Any) -> None:
    latest, answers = Latest(), []
    goes_on = threading.Event()

    def slow(stopped: Any, say: Any) -> str:
        goes_on.wait(5)
        return "stopped" if stopped() else "slow"

    old = latest.ask()
    work = run_in_thread(slow, old.only(answers.append), old.only(answers.append))
    old.holds(work)
    new = latest.ask()
    assert not old
    assert new
    assert work.is_stopping
    goes_on.set()
    other = run_in_thread(lambda stopped, say: "new", new.only(answers.append), answers.append)
    qtbot.waitUntil(lambda: work.is_over and other.is_over, timeout=5_000)
    assert answers == ["new"]


def test_nobody_is_called_once_the_widget_that_answers_is_gone(qtbot: Any) -> None:
    goes_on, said = threading.Event(), []
    label = QLabel()

    def answer(value: str) -> None:
        said.append(value)
        label.setText(value)

    def write(stopped: Any, say: Any) -> str:
        goes_on.wait(5)
        say("half")
        return "written"

    work = run_in_thread(write, answer, answer, answer, owner=label)
    with qtbot.waitSignal(label.destroyed):
        label.deleteLater()
    goes_on.set()
    qtbot.waitUntil(lambda: work.is_over, timeout=5_000)
    assert said == []


def test_each_value_that_is_yielded_is_said(qtbot: Any) -> None:
    said: list[Any] = []

    def steps(stopped: Any) -> Any:
        yield 1
        yield 2
        return "done"

    work = run_in_thread(stepwise(steps), said.append, said.append, said.append)
    qtbot.waitUntil(lambda: work.is_over, timeout=5_000)
    assert said == [1, 2, "done"]
