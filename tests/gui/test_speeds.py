"""When the speed of the picked network is measured."""

import time

from napari_tem_rf import jobs
from napari_tem_rf.engine import InlineEngine
from napari_tem_rf.gui.segment import speeds
from napari_tem_rf.gui.segment.speeds import Speeds
from napari_tem_rf.networks.speed import Speed


def wait(state, *, report, stopped):
    while not stopped():
        time.sleep(0.005)


def test_it_waits_until_nothing_else_is_worked_at(session, monkeypatch, qtbot):
    asked = []

    def timed(spec, *, report, stopped):
        asked.append(spec)
        return Speed(0.2, 40.0, "cpu")

    monkeypatch.setattr(
        "napari_tem_rf.gui.session.work.Engine", lambda *_: InlineEngine(threaded=True)
    )
    monkeypatch.setattr(jobs, "time_network", timed)
    monkeypatch.setattr(speeds, "_PAUSE_MS", 10)
    other = session.submit(wait, 1, name="live prediction")
    found = Speeds(session)
    qtbot.wait(200)
    assert session.works == (other,)
    other.stop()
    qtbot.waitUntil(lambda: found.of(session.spec) is not None, timeout=20_000)
    assert asked == [session.spec]
