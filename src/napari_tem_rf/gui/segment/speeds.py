"""How fast the picked networks predict on this machine, measured by a worker once each."""

from contextlib import suppress

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_tem_rf import jobs
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.speed import Speed

_PAUSE_MS = 1500


class Speeds:
    """The speeds of a session's networks.

    A pick is measured once it has stayed for a moment, never beside a training: that would slow
    the training down and give the wrong time.

    Signals
    -------
    measured(Speed)
        The pick's speed is known.
    """

    measured = Signal(object)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[NetworkSpec, Speed] = {}
        self._tried: set[NetworkSpec] = set()
        self._is_measuring = False
        self._pause = QTimer()
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._measure)
        session.spec_changed.connect(self._later, max_args=0)
        session.training_changed.connect(self._later, max_args=0)
        session.closed.connect(self._close)
        self._later()

    def of(self, spec: NetworkSpec) -> Speed | None:
        """Return a network's speed; None while it is not known."""
        return self._known.get(spec)

    def _later(self) -> None:
        self._pause.start()

    def _measure(self) -> None:
        session, spec = self._session, self._session.spec
        if self._is_measuring or session.training is not None or spec in self._tried:
            return
        # no worker process is started for this alone
        if session.engine.state != "ready":
            self._later()
            return
        self._is_measuring = True
        self._tried.add(spec)

        def done(speed: Speed) -> None:
            self._known[spec] = speed
            self.measured.emit(speed)

        work = session.submit(
            jobs.time_network, spec, name=f"speed of the network with {spec}", on_done=done
        )
        work.ended.connect(self._ended, max_args=0)

    def _ended(self) -> None:
        self._is_measuring = False
        self._later()

    def _close(self) -> None:
        # at the end of the program Qt has deleted the timer already
        with suppress(RuntimeError):
            self._pause.stop()


_SPEEDS: dict[Session, Speeds] = {}


def speeds_of(session: Session) -> Speeds:
    """Return the speeds of a session, made on first use and gone with the session."""
    speeds = _SPEEDS.get(session)
    if speeds is None:
        speeds = _SPEEDS[session] = Speeds(session)
        session.closed.connect(lambda: _SPEEDS.pop(session, None))
    return speeds
