"""The important numbers of the particles in a few lines: interval, best fit, coverage."""

from collections.abc import Sequence

from psygnal import Signal
from superqt.utils import QSignalDebouncer

from napari_tem_rf.gui.pieces.parts import Sentence
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.gui.session.background import Latest, run_in_thread
from napari_tem_rf.measuring.populations import (
    Population,
    PopulationSettings,
    SurveyedFrame,
    population_of,
)
from napari_tem_rf.particle_report import facts_of, short_facts


class PopulationNumbers(Sentence):
    """Lines on the particles, computed in a thread; the newest request wins."""

    computed = Signal(object)
    """The population; None without particles."""

    def __init__(self) -> None:
        super().__init__(tone="quiet")
        self.population: Population | None = None
        self._latest = Latest()
        self._asked: tuple[Sequence[SurveyedFrame], PopulationSettings, bool] | None = None
        self._pause = QSignalDebouncer(parent=self)
        self._pause.triggered.connect(self._compute)

    def show_frames(
        self, frames: Sequence[SurveyedFrame], settings: PopulationSettings, border: bool
    ) -> None:
        """Describe the particles of frames; nothing is said without any."""
        self._asked = (frames, settings, border)
        self._pause.throttle()

    def _compute(self) -> None:
        if self._asked is None:
            return
        frames, settings, border = self._asked
        if not any(len(frame.table) for frame in frames):
            self._latest.drop()
            self._show(None)
            return
        request = self._latest.ask()
        request.holds(
            run_in_thread(
                lambda _stopped, _say: population_of(frames, settings, border=border),
                request.only(self._show),
                request.only(lambda _trouble: self._show(None)),
                owner=self,
            )
        )

    def _show(self, population: Population | None) -> None:
        self.population = population
        if population is None:
            self.say("")
            self.computed.emit(None)
            return
        self.say("\n".join(short_facts(population)), "quiet")
        facts = [f"{fact.title}: {fact.value}" for fact in facts_of(population)]
        set_tip(self, "\n".join([*facts, "", *population.notes]))
        self.computed.emit(population)
