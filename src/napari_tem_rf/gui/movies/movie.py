"""What is known of the series that is looked at: its drift, its tracks, its time step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from psygnal import Signal

from napari_tem_rf.gui.layers.layers import (
    frame_labels,
    frame_pixels,
    history,
    image_shape,
    pixel_size_nm,
    source_of,
)
from napari_tem_rf.gui.layers.marks import (
    ParticlesMark,
    PredictionMark,
    image_mark_of,
    mark_of,
)
from napari_tem_rf.gui.layers.told_apart import planes_of
from napari_tem_rf.gui.movies.layers import remove_tracks, series_masks, show_tracks
from napari_tem_rf.gui.movies.steps import Steps
from napari_tem_rf.gui.movies.still import StillView
from napari_tem_rf.gui.particles.layers import ground_layer
from napari_tem_rf.gui.particles.work import Job, ParticleWork
from napari_tem_rf.gui.session.annotations import labels_are_in
from napari_tem_rf.gui.session.background import ThreadWork, run_in_thread
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.micrographs.frame_interval import interval_of
from napari_tem_rf.micrographs.series_labels import SeriesLabels
from napari_tem_rf.movie_files import SeriesSource, drift_record, source_record, track_record
from napari_tem_rf.movies import (
    Correction,
    Drift,
    DriftSettings,
    EditedTracks,
    SeriesParticles,
    Tracks,
    measure_drift,
    measure_series,
    write_aligned,
)
from napari_tem_rf.protocol import LabelsAre
from napari_tem_rf.provenance import known_hash, read_provenance, write_provenance
from napari_tem_rf.storage import remove

__all__ = ["Movie", "SeriesState"]

Doing = Literal["", "drift", "tracks", "aligned"]


@dataclass(frozen=True, slots=True, eq=False)
class SeriesState:
    """What was chosen and found of one series.

    Attributes
    ----------
    settings : DriftSettings
        How drift is measured.
    drift : Drift, optional
    mask : Labels, optional
        The masks that the user chose; None: those that are best known.
    finding : Finding
        How particles are found in them.
    limits : mapping of str to float
        The limits that the user typed; all others come from the series.
    time_step_s : float, optional
        The time from frame to frame that the user typed.
    particles : SeriesParticles, optional
        What was tracked last.
    made_of : tuple
        What that was measured from.
    edited : EditedTracks, optional
        The tracks, with what was corrected.
    """

    settings: DriftSettings = field(default_factory=DriftSettings)
    drift: Drift | None = None
    mask: Labels | None = None
    finding: Finding = field(default_factory=Finding)
    limits: Mapping[str, float] = field(default_factory=dict)
    time_step_s: float | None = None
    particles: SeriesParticles | None = None
    made_of: tuple[Any, ...] = ()
    edited: EditedTracks | None = None


NOTHING_KNOWN = SeriesState()


class Movie:
    """The series that is looked at. There is one in a session, whatever docks are open.

    Signals
    -------
    changed()
        Another series, or something else is known of it.
    busy_changed()
        Work began or ended.
    said(str, str, str)
        What it is about ("drift", "tracks" or "aligned"), a sentence for the user and its tone.
    """

    changed = Signal()
    busy_changed = Signal()
    said = Signal(str, str, str)

    def __init__(self, session: Session) -> None:
        self.session = session
        self.work = ParticleWork()
        self.doing: Doing = ""
        self._writing: ThreadWork | None = None
        self._steps = Steps()
        self.still = session.part(StillView)
        self._states: WeakKeyDictionary[Image, SeriesState] = WeakKeyDictionary()
        session.on(
            lambda now: (
                now.choices.image,
                now.choices.run,
                now.scene.layers,
                now.scene.pixel_size_nm,
                now.scene.predictions,
            ),
            lambda _now: self.changed.emit(),
        )
        session.on(lambda now: (now.scene.pixel_size_nm, now.scene.translate), self._on_calibration)
        session.closed.connect(self._on_closed)

    # what there is

    @property
    def image(self) -> Image | None:
        """The series; None where the chosen image is a single one."""
        image = self.session.image
        return None if image is None or len(image_shape(image)) != 3 else image

    @property
    def why_not(self) -> str:
        """Why there is nothing to do, in a sentence; empty where there is."""
        image = self.session.image
        if image is None:
            return "There is no image yet: open a series."
        if self.image is None:
            return (
                f'"{image.name}" is a single image: drift and tracks need a series, a stack of '
                "frames in one file."
            )
        return ""

    @property
    def state(self) -> SeriesState:
        """What is known of the series."""
        image = self.image
        return NOTHING_KNOWN if image is None else self._states.get(image, NOTHING_KNOWN)

    def change(self, image: Image | None = None, **changes: Any) -> None:
        """Change what is known of a series, by default that which is looked at."""
        image = self.image if image is None else image
        if image is not None:
            before = self._states.get(image, NOTHING_KNOWN)
            self._states[image] = replace(before, **changes)
            self.changed.emit()

    @property
    def frames(self) -> int:
        """Number of frames; 0 without a series."""
        return 0 if self.image is None else image_shape(self.image)[0]

    @property
    def pixel_size_nm(self) -> tuple[float, float] | None:
        """(row, column) size of a pixel in nm."""
        return None if self.image is None else pixel_size_nm(self.image)

    @property
    def masks(self) -> list[Labels]:
        """The layers whose particles can be tracked."""
        return series_masks(self.session, self.image)

    @property
    def mask(self) -> Labels | None:
        """The masks whose particles are tracked."""
        there = self.masks
        if self.state.mask in there:
            return self.state.mask
        return there[-1] if there else None

    @property
    def file_time_step_s(self) -> float | None:
        """The time from frame to frame that the file says."""
        return None if self.image is None else interval_of(self.image.metadata)

    @property
    def time_step_s(self) -> float | None:
        """The time from frame to frame: what was typed, else what the file says."""
        typed = self.state.time_step_s
        return self.file_time_step_s if typed is None else typed

    @property
    def tracks(self) -> Tracks | None:
        """The tracks as they are now."""
        edited = self.state.edited
        return None if edited is None else edited.tracks

    @property
    def has_whole_drift(self) -> bool:
        """Whether the drift of all frames is known."""
        drift = self.state.drift
        return drift is not None and drift.frames == self.frames

    @property
    def is_still(self) -> bool:
        """Whether the specimen is held still."""
        return self.still.offsets_of(self.image) is not None

    def show_frame(self, frame: int) -> None:
        """Show a frame of the series."""
        image, viewer = self.image, self.session.viewer
        if image is not None:
            world = image.data_to_world((frame, 0, 0))
            viewer.dims.set_point(viewer.dims.ndim - 3, float(world[0]))

    # work

    @property
    def is_busy(self) -> bool:
        """Whether something is being done: one thing at a time."""
        return self.doing != ""

    @property
    def is_drawn(self) -> bool:
        """Whether the layer of tracks shows what is known; it is built in steps."""
        return self._steps.is_over

    def stop(self) -> None:
        """Ask what is being done to end."""
        self.work.stop()
        if self._writing is not None:
            self._writing.stop()

    def _begin(self, doing: Doing, job: Job, on_done: Callable[[Any], None]) -> None:
        def done(result: Any) -> None:
            self._over()
            on_done(result)

        def failed(words: str) -> None:
            self._over()
            self.said.emit(doing, words, "error")

        self.doing = doing
        self.said.emit(doing, "", "plain")
        self.work.begin(job, done, failed)
        self.busy_changed.emit()

    def _over(self) -> None:
        self.doing = ""
        self._writing = None
        self.busy_changed.emit()

    def _on_calibration(self, _now: object) -> None:
        """Draw the path, and place the tracks, by another pixel size."""
        image, drift = self.image, self.state.drift
        if image is None:
            return
        if drift is not None and drift.pixel_size_nm != self.pixel_size_nm:
            self.change(drift=replace(drift, pixel_size_nm=self.pixel_size_nm))
        self._draw_tracks(image)

    def _on_closed(self) -> None:
        self.stop()
        self._steps.stop()
        self.work.forget()

    # drift

    def measure_drift(self) -> None:
        """Measure the drift of the series in the background."""
        image = self.image
        if image is None or self.is_busy:
            return
        settings, frames, size = self.state.settings, self.frames, self.pixel_size_nm

        def job(stopped: Callable[[], bool]) -> Any:
            return measure_drift(
                partial(frame_pixels, image), frames, settings, size, stopped=stopped
            )

        self._begin("drift", job, partial(self._show_drift, image))

    def _show_drift(self, image: Image, drift: Drift) -> None:
        was_still = self.still.offsets_of(image) is not None
        whole = drift.frames == image_shape(image)[0]
        if was_still:
            self.still.hold(image, drift.offsets_px if whole else None)
        self.change(image, drift=drift)
        self._draw_tracks(image)
        if whole:
            self.said.emit("drift", drift.sentence, "plain")
        else:
            words = f"Stopped after {drift.frames} of {image_shape(image)[0]} frames."
            self.said.emit("drift", f"{words} {drift.sentence}", "warning")

    def hold_still(self, wanted: bool) -> None:
        """Hold the specimen still, or let it move as it was recorded."""
        image, drift = self.image, self.state.drift
        if image is None or (wanted and not self.has_whole_drift):
            return
        self.still.hold(image, drift.offsets_px if wanted and drift is not None else None)
        self._draw_tracks(image)
        self.changed.emit()

    def write_aligned(self, path: Path, overwrite: bool = False) -> None:
        """Write the series moved back and cut to what all frames show, in the background."""
        image, drift = self.image, self.state.drift
        if image is None or drift is None or not self.has_whole_drift or self.is_busy:
            return
        data = image.data[0] if image.multiscale else image.data
        record = self._aligned_record(image, drift)

        def frame(index: int) -> NDArray[Any]:
            return frame_pixels(image, index) if image.rgb else np.asarray(data[index])

        began = perf_counter()

        def job(stopped: Callable[[], bool], say: Callable[[Any], None]) -> Any:
            def report(fraction: float) -> None:
                if stopped():
                    raise _StoppedError
                say(fraction)

            if overwrite:
                remove(path)
            try:
                shape = write_aligned(path, frame, drift, report)
            except _StoppedError:
                return None
            write_provenance(path, record)
            return shape

        def done(shape: tuple[int, int] | None) -> None:
            self._over()
            if shape is None:
                self.said.emit("aligned", "Stopped: nothing was written.", "plain")
                return
            words = f"Written: {path} with {drift.frames} frames of {shape[0]} x {shape[1]} px."
            self.said.emit("aligned", words, "good")

        def failed(words: str) -> None:
            self._over()
            self.said.emit("aligned", words, "error")

        def progress(fraction: float) -> None:
            left = (perf_counter() - began) * (1 - fraction) / fraction
            self.work.progressed.emit(fraction, left)

        self._writing = run_in_thread(job, done, failed, progress)
        self.doing = "aligned"
        self.busy_changed.emit()

    def _aligned_record(self, image: Image, drift: Drift) -> dict[str, Any]:
        return {
            **source_record("images", self._image_source(image)),
            "drift": drift_record(self.state.settings, drift),
        }

    # tracks

    @property
    def subject(self) -> tuple[Any, ...]:
        """What would be tracked now; where `SeriesState.made_of` differs, tracks are outdated."""
        mask, state = self.mask, self.state
        if mask is None:
            return ()
        drift = state.drift if self.has_whole_drift else None
        return (
            str(mask.unique_id),
            history(mask),
            id(mask.data),
            state.finding,
            None if drift is None else id(drift),
            pixel_size_nm(ground_layer(self.session, mask)),
        )

    def track(self) -> None:
        """Measure the particles of all frames and find them again, in the background."""
        image, mask, state = self.image, self.mask, self.state
        if image is None or mask is None or self.is_busy:
            return
        subject, frames, step = self.subject, self.frames, self.time_step_s
        known = state.particles if state.made_of == subject else None
        planes, labels_are = _planes(mask, frames)
        offsets = (
            state.drift.offsets_px if state.drift is not None and self.has_whole_drift else None
        )
        size = pixel_size_nm(ground_layer(self.session, mask))
        limits = dict(state.limits)

        def job(stopped: Callable[[], bool]) -> Any:
            particles = known
            if particles is None:
                particles = yield from measure_series(
                    planes,
                    frames,
                    state.finding,
                    offsets_px=offsets,
                    labels_are=labels_are,
                    pixel_size_nm=size,
                    stopped=stopped,
                )
            if particles is None or stopped():
                return None
            return particles, particles.track(limits, step)

        self._begin("tracks", job, partial(self._show_found, image, subject))

    def _show_found(
        self, image: Image, subject: tuple[Any, ...], result: tuple[SeriesParticles, Tracks] | None
    ) -> None:
        if result is None:
            self.said.emit("tracks", "Stopped: nothing was tracked.", "plain")
            return
        particles, tracks = result
        before = self._states.get(image, NOTHING_KNOWN).edited
        # what was corrected by hand is not lost: there is a way back to it
        edited = EditedTracks(tracks)
        words = tracks.sentence
        if before is not None and before.done:
            edited = before.found_anew(tracks)
            words += " Your corrections are of the tracks before: Undo brings those back."
        self.change(image, particles=particles, made_of=subject, edited=edited)
        self._draw_tracks(image)
        self.said.emit("tracks", words, "plain" if tracks.number else "warning")

    def correct(self, correction: Correction) -> bool:
        """Correct the tracks; where that cannot be done, say why."""
        edited = self.state.edited
        if edited is None or self.is_busy:
            return False
        try:
            after = edited.corrected(correction)
        except ValueError as trouble:
            words = str(trouble)
            self.said.emit("tracks", f"{words[:1].upper()}{words[1:]}.", "warning")
            return False
        self._show_edited(after)
        self.said.emit("tracks", correction.sentence, "plain")
        return True

    def undo(self) -> None:
        """Take the last correction back."""
        edited = self.state.edited
        if edited is not None and edited.can_undo and not self.is_busy:
            self._show_edited(edited.undo())
            last = f"Taken back: {edited.done[-1].sentence}" if edited.done else "Tracks of before."
            self.said.emit("tracks", last, "plain")

    def redo(self) -> None:
        """Make the correction again that was taken back last."""
        edited = self.state.edited
        if edited is not None and edited.undone and not self.is_busy:
            self._show_edited(edited.redo())
            self.said.emit("tracks", f"Again: {edited.undone[-1].sentence}", "plain")

    def _show_edited(self, edited: EditedTracks) -> None:
        self.change(edited=edited)
        if self.image is not None:
            self._draw_tracks(self.image)

    def set_time_step(self, seconds: float | None) -> None:
        """Take another time from frame to frame; what the file says where None."""
        self.change(time_step_s=seconds)
        edited = self.state.edited
        if edited is not None:
            found = replace(edited.found, time_step_s=self.time_step_s)
            self.change(edited=replace(edited, found=found))

    def _draw_tracks(self, image: Image) -> None:
        edited = self._states.get(image, NOTHING_KNOWN).edited
        if image not in self.session.viewer.layers:
            return
        if edited is None:
            self._steps.stop()
            remove_tracks(self.session, image)
        else:
            offsets = self.still.offsets_of(image)
            self._steps.begin(show_tracks(self.session, image, edited.tracks, offsets))

    # where it comes from

    def record(self) -> dict[str, Any]:
        """Return how the tracks were made, as plain JSON values."""
        state, tracks, image = self.state, self.tracks, self.image
        if state.particles is None or tracks is None or image is None:
            raise ValueError("there are no tracks yet: press Track")
        drift: dict[str, Any] | None = None
        if not state.particles.drift_is_of_masks and state.drift is not None:
            source = source_of(image)
            drift = {
                "image": str(image.name),
                "file": None if source is None else str(source.resolve()),
                "sha256": None if source is None else known_hash(source),
                **drift_record(state.settings, state.drift),
            }
        found = state.particles
        masks = self._mask_source(tracks)
        return track_record(tracks, masks, found.finding, drift, numbered=found.numbered)

    def _image_source(self, image: Image) -> SeriesSource:
        source = source_of(image)
        files = () if source is None else (source,)
        more = {} if files else {"layer": str(image.name)}
        return SeriesSource(image_shape(image)[0], pixel_size_nm(image), files, more)

    def _mask_source(self, tracks: Tracks) -> SeriesSource:
        mask = self.mask
        if mask is None:
            return SeriesSource(tracks.frames, tracks.pixel_size_nm)
        data = mask.data
        path = data.path if isinstance(data, SeriesLabels) else source_of(mask)
        is_as_read = path is not None and history(mask)[0] == 0
        if path is not None and is_as_read:
            return SeriesSource(tracks.frames, tracks.pixel_size_nm, (path,))
        run = image_mark_of(mask).run
        more = {
            "layer": str(mask.name),
            "run": None if run is None else str(run.resolve()),
            "by_hand": history(mask)[0] > 0,
        }
        return SeriesSource(tracks.frames, tracks.pixel_size_nm, (), more)


def _planes(mask: Labels, frames: int) -> tuple[Callable[[int], NDArray[Any]], LabelsAre]:
    """Return the labels of each frame, and whether they are classes or numbers of particles."""
    mark = mark_of(mask)
    if isinstance(mark, ParticlesMark):
        return partial(frame_labels, mask), "particles"
    predicted = planes_of(mask, list(range(frames)))
    if predicted:
        return predicted.__getitem__, "particles"
    labels_are = "classes" if isinstance(mark, PredictionMark) else labels_are_in(mask)
    source = source_of(mask)
    if labels_are == "auto" and source is not None:
        # as on the command line: the record beside a file may say that they are numbered
        labels_are = "particles" if (read_provenance(source) or {}).get("instances") else "auto"
    return partial(frame_labels, mask), labels_are


class _StoppedError(Exception):
    """The user stopped the writing."""
