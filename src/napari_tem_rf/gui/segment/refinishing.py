"""Predictions that are shown, finished in another way, mostly without asking the network again."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import ReferenceType, ref

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from psygnal import Signal

from napari_tem_rf import jobs
from napari_tem_rf.gui.layers.layers import frame_pixels, pixel_size_nm
from napari_tem_rf.gui.layers.marks import PredictionMark, find_ours, mark_of
from napari_tem_rf.gui.particles.layers import take_instances
from napari_tem_rf.gui.session.background import Latest, Request
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.expectations import Expectations
from napari_tem_rf.gui.session.predictions import layer_name, show_prediction
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.jobs.orientations import settled
from napari_tem_rf.jobs.pixel_sizes import finishing_for
from napari_tem_rf.measuring.finishing import Finishing
from napari_tem_rf.measuring.series import Finding

__all__ = ["MOST_BYTES", "Refinishing"]

MOST_BYTES = 256 * 2**20
"""Memory for what predictions are finished from; the oldest go first."""

_Mask = tuple[NDArray[Any], NDArray[np.int32] | None]
"""Labels of a finished mask, and its numbered particles where there are."""


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """What a network said of a frame, before its mask was finished, and how it was then."""

    image: ReferenceType[Image]
    frame: int
    run: TrainedRun
    classes: NDArray[np.uint8]
    shares: NDArray[np.uint8]
    numbered: NDArray[np.int32] | None
    resampling: Any
    finishing: Finishing

    @property
    def size(self) -> int:
        numbers = 0 if self.numbered is None else self.numbered.nbytes
        return self.classes.nbytes + self.shares.nbytes + numbers


class Refinishing:
    """Keeps what the network said of the frames that were predicted, and finishes them again.

    Only where it is to be asked in other orientations than before, it is asked again.

    Signals
    -------
    said(str)
        How far it is, and what it cannot do.

    Parameters
    ----------
    session : Session
        Where the finishing is chosen.
    """

    said = Signal(str)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kept: OrderedDict[tuple[str, int, int], _Kept] = OrderedDict()
        self._latest = Latest()
        session.changed.connect(self._on_changed)
        session.closed.connect(self._latest.drop)

    def keep(
        self, image: Image, frame: int, run: TrainedRun, result: jobs.PredictionResult
    ) -> None:
        """Keep what a prediction was finished from, within `MOST_BYTES`."""
        if result.classes is None or result.shares is None:
            return
        key = (layer_name(image, run.record.predictor), id(image), frame)
        mark = self._mark(image, run)
        resampling = None if mark is None else mark.resampling
        self._kept.pop(key, None)
        self._kept[key] = _Kept(
            *(ref(image), frame, run, result.classes, result.shares, result.instances),
            resampling,
            result.finishing,
        )
        held = sum(each.size for each in self._kept.values())
        while held > MOST_BYTES and len(self._kept) > 1:
            held -= self._kept.popitem(last=False)[1].size

    def forget(self, image: Image) -> None:
        """Forget what is kept of an image whose masks are made in another way from now on."""
        for key in [key for key, kept in self._kept.items() if kept.image() is image]:
            del self._kept[key]

    @property
    def frames(self) -> int:
        """How many frames can be finished again."""
        return len(self._kept)

    def _mark(self, image: Image, run: TrainedRun) -> PredictionMark | None:
        layers = self._session.viewer.layers
        layer = find_ours(layers, layer_name(image, run.record.predictor), "prediction")
        mark = None if layer is None else mark_of(layer)
        return mark if isinstance(mark, PredictionMark) else None

    def _on_changed(self, before: Situation, now: Situation) -> None:
        if before.choices.finishing != now.choices.finishing:
            self._next(self._latest.ask(), list(reversed(self._kept)), 0)

    def _next(self, request: Request, keys: list[tuple[str, int, int]], done: int) -> None:
        """Finish one frame after the other, the last that was predicted first."""
        while keys:
            key, *keys = keys
            kept = self._kept.get(key)
            image = None if kept is None else kept.image()
            if kept is None or image is None or not self._is_shown(key, image, kept.run):
                self._kept.pop(key, None)
                continue
            finishing = self._finishing(kept, image)
            show = partial(self._show, request, keys, done)
            if finishing.asks_for == kept.finishing.asks_for:
                work = self._session.submit(
                    jobs.finish_again,
                    kept.classes,
                    kept.shares,
                    finishing,
                    kept.numbered,
                    name="finishing masks",
                    on_done=request.only(partial(self._finished, kept, finishing, show)),
                    on_failed=request.only(self.said.emit),
                )
            else:
                self.said.emit(f"Asking the network about {image.name} again...")
                work = self._session.submit(
                    jobs.predict_with_run,
                    kept.run.folder,
                    frame_pixels(image, kept.frame),
                    None,
                    False,
                    "auto",
                    kept.resampling,
                    finishing,
                    True,
                    kept.run.record.parts_particles,
                    Finding().neck,
                    pixel_size_nm(image),
                    True,
                    name=f"predicting {image.name}",
                    on_done=request.only(partial(self._predicted, kept, show)),
                    on_failed=request.only(self.said.emit),
                )
            request.holds(work)
            return
        if done:
            self.said.emit(f"{done:,} shown {'mask' if done == 1 else 'masks'} finished anew.")

    def _finishing(self, kept: _Kept, image: Image) -> Finishing:
        chosen, record = self._session.situation.choices.finishing, kept.run.record
        plan = finishing_for(record, pixel_size_nm(image), chosen)
        rows, columns = kept.classes.shape
        return settled(plan, record, (rows, columns), kept.resampling)

    def _finished(
        self,
        kept: _Kept,
        finishing: Finishing,
        show: Callable[[_Kept, Finishing, _Mask | None], None],
        finished: _Mask | None,
    ) -> None:
        if finished is not None:
            finished = jobs.label_values(finished[0], kept.run.record.classes), finished[1]
        show(kept, finishing, finished)

    def _predicted(
        self,
        kept: _Kept,
        show: Callable[[_Kept, Finishing, _Mask | None], None],
        result: jobs.PredictionResult | None,
    ) -> None:
        """Keep what the network said in other orientations, and show it."""
        image = kept.image()
        if result is None or image is None:
            show(kept, kept.finishing, None)
            return
        self.keep(image, kept.frame, kept.run, result)
        expectations = self._session.part(Expectations)
        expectations.keep(image, kept.frame, kept.run.folder, result.expected)
        judged = replace(kept, finishing=result.finishing)
        show(judged, result.finishing, (result.labels, result.instances))

    def _is_shown(self, key: tuple[str, int, int], image: Image, run: TrainedRun) -> bool:
        """Whether the layer still shows that run's prediction."""
        if image not in self._session.viewer.layers:
            return False
        mark = self._mark(image, run)
        return (
            mark is not None
            and mark.run == run.folder
            and layer_name(image, run.record.predictor) == key[0]
        )

    def _show(
        self,
        request: Request,
        keys: list[tuple[str, int, int]],
        done: int,
        kept: _Kept,
        finishing: Finishing,
        finished: _Mask | None,
    ) -> None:
        image = kept.image()
        if finished is not None and image is not None and image in self._session.viewer.layers:
            record = kept.run.record
            labels, numbered = finished
            layer = show_prediction(
                self._session,
                image,
                labels,
                record.classes,
                record.predictor,
                run=kept.run.folder,
                frame=kept.frame,
                resampling=kept.resampling,
                finishing=finishing,
            )
            take_instances(self._session, layer, kept.frame, numbered)
            self._session.part(Expectations).finished_anew(
                image, kept.frame, kept.run.folder, as_judged=finishing == kept.finishing
            )
            done += 1
        self._next(request, keys, done)
