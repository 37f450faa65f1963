"""How fast the picked networks predict on this machine, measured by a worker once each."""

from psygnal import Signal
from superqt.utils import QSignalDebouncer

from napari_tem_rf import jobs
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.speed import Speed

_PAUSE_MS = 1500


class Speeds:
    """The speeds of a session's networks.

    A pick is measured once it has stayed for a moment and nothing else is worked at: that would be
    slowed down, and the time be wrong.

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
        self._pause = QSignalDebouncer()
        self._pause.setTimeout(_PAUSE_MS)
        self._pause.triggered.connect(self._measure)
        session.on(lambda now: (now.choices.spec, now.activity.training), self._later)
        session.closed.connect(self._pause.cancel)
        self._later()

    def of(self, spec: NetworkSpec) -> Speed | None:
        """Return a network's speed; None while it is not known."""
        return self._known.get(spec)

    def _later(self, _now: Situation | None = None) -> None:
        self._pause.throttle()

    def _measure(self) -> None:
        session, spec = self._session, self._session.spec
        if self._is_measuring or session.training is not None or spec in self._tried:
            return
        # no worker process is started for this alone
        if session.engine.state != "ready" or session.works:
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
