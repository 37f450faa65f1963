"""Effective fields from a worker, one at a time: the frame is prepared once, its crops are sent."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_tem_rf import jobs
from napari_tem_rf.gui.field.subject import Reading, Subject
from napari_tem_rf.gui.layers.layers import frame_pixels
from napari_tem_rf.gui.session.background import run_in_thread
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.cleaning import Cleaning, clean, standardise
from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

__all__ = ["FieldMeasuring", "Standardised"]


class FieldMeasuring:
    """Lets workers measure effective fields, in the order they are asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.pixels = Standardised()
        self._is_measuring = False
        self._waiting: list[tuple[str, Callable[[], None]]] = []

    def request(
        self,
        subject: Subject,
        image: Image,
        reading: Reading,
        on_done: Callable[[EffectiveField], None],
        on_failed: Callable[[str], None],
        *,
        newest_of: str = "",
    ) -> None:
        """Let a worker measure an effective field, after those requested before.

        Parameters
        ----------
        subject : Subject
            The network.
        image : Image
        reading : Reading
            The pixel of the image.
        on_done, on_failed : callable
            Called in the window's thread with the field, in px of the image the network sees, or
            with a sentence.
        newest_of : str
            Of waiting requests with the same name only the newest is kept.
        """

        def start(pixels: NDArray[np.float32]) -> None:
            by = subject.cleaning.binning
            row, column = (
                min(position // by, length - 1)
                for position, length in zip(reading.at, pixels.shape, strict=True)
            )
            crop, origin = _crop(subject.spec, pixels, (row, column))
            self._session.submit(
                jobs.effective_field,
                subject.run,
                subject.spec,
                crop,
                (row - origin[0], column - origin[1]),
                subject.seed,
                name=f"effective field at {reading.at[0]}, {reading.at[1]}",
                on_done=lambda field: self._ended(on_done, _moved(field, origin)),
                on_failed=lambda sentence: self._ended(on_failed, sentence),
            )

        def begin() -> None:
            self.pixels.get(
                image,
                reading.frame,
                subject.cleaning,
                start,
                lambda sentence: self._ended(on_failed, sentence),
            )

        if newest_of:
            self._waiting = [each for each in self._waiting if each[0] != newest_of]
        self._waiting.append((newest_of, begin))
        self._begin_next()

    def _begin_next(self) -> None:
        if self._waiting and not self._is_measuring:
            self._is_measuring = True
            self._waiting.pop(0)[1]()

    def _ended(self, function: Callable[[Any], None], value: Any) -> None:
        self._is_measuring = False
        function(value)
        self._begin_next()

    def forget(self) -> None:
        """Drop what waits and the prepared frame."""
        self._waiting.clear()
        self.pixels.forget()


class Standardised:
    """The frame that networks see, made once in a thread: large images take their time."""

    def __init__(self) -> None:
        self._key: tuple[Image, int, Cleaning] | None = None
        self._ready: NDArray[np.float32] | None = None

    def get(
        self,
        image: Image,
        frame: int,
        cleaning: Cleaning,
        on_ready: Callable[[NDArray[np.float32]], None],
        on_failed: Callable[[str], None],
    ) -> None:
        """Call a function with the cleaned and standardised frame, or with why there is none."""
        key = (image, frame, cleaning)
        if self._key == key and self._ready is not None:
            on_ready(self._ready)
            return
        self.forget()
        self._key = key
        image.events.data.connect(self.forget)

        def made(pixels: NDArray[np.float32]) -> None:
            if self._key == key:
                self._ready = pixels
            on_ready(pixels)

        run_in_thread(lambda _stopped, _say: _prepare(image, frame, cleaning), made, on_failed)

    def forget(self, _event: object = None) -> None:
        """Drop the frame: the image changed, or another is looked at."""
        if self._key is not None:
            self._key[0].events.data.disconnect(self.forget)
        self._key = self._ready = None


def _prepare(image: Image, frame: int, cleaning: Cleaning) -> NDArray[np.float32]:
    return standardise(clean(frame_pixels(image, frame), cleaning))


def _crop(
    spec: NetworkSpec, pixels: NDArray[np.float32], at: tuple[int, int]
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Cut the exact field out, on multiples of the period; return it and where it starts."""
    box = receptive_field(spec).box(at, (pixels.shape[0], pixels.shape[1]))
    (top, bottom), (left, right) = (interval.inside for interval in box)
    top, left = top // spec.period * spec.period, left // spec.period * spec.period
    bottom, right = (-(-stop // spec.period) * spec.period for stop in (bottom, right))
    return np.ascontiguousarray(pixels[top:bottom, left:right]), (top, left)


def _moved(field: EffectiveField, by: tuple[int, int]) -> EffectiveField:
    return replace(
        field,
        origin=(field.origin[0] + by[0], field.origin[1] + by[1]),
        at=(field.at[0] + by[0], field.at[1] + by[1]),
    )
