"""The particles of the chosen mask: found, measured, corrected, and measured again."""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_tem_rf.exporting import Origin
from napari_tem_rf.gui.layers.layers import (
    frame_labels,
    history,
    image_shape,
    pixel_size_nm,
    source_of,
)
from napari_tem_rf.gui.layers.marks import ParticlesMark, note
from napari_tem_rf.gui.layers.plane import shown_frame
from napari_tem_rf.gui.layers.told_apart import planes_of
from napari_tem_rf.gui.particles import layers as particle_layers
from napari_tem_rf.gui.particles.work import Job, ParticleWork
from napari_tem_rf.gui.session.annotations import labels_are_in
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.measuring.populations import SurveyedFrame
from napari_tem_rf.measuring.series import (
    Finding,
    Found,
    Measured,
    find_in,
    joined_table,
    measure_again,
)
from napari_tem_rf.protocol import LabelsAre

if TYPE_CHECKING:
    import pandas as pd

_EDIT_PAUSE_MS = 300


class Particles:
    """The mask that is chosen, the layer of its particles and their table.

    Signals
    -------
    changed()
        Mask, layer or table is another one.
    busy_changed()
        Finding or measuring began or ended.
    measured()
        Particles were measured, whether or not their table changed by it.
    said(str, str)
        A sentence for the user and its tone.
    """

    changed = Signal()
    measured = Signal()
    busy_changed = Signal()
    said = Signal(str, str)

    def __init__(self, session: Session) -> None:
        self.session = session
        self.work = ParticleWork()
        self.is_finding = False
        self._mask: Labels | None = None
        self._is_chosen = False
        self._layer: Labels | None = None
        self._measured: dict[int, Measured] = {}
        self._lattice = False
        self._is_remeasuring = False
        self._history = (0, 0)
        self._table: pd.DataFrame | None = None
        self._pause = QTimer()
        self._pause.setSingleShot(True)
        self._pause.timeout.connect(self._measure)
        self._ends = (
            session.on(lambda now: (now.scene.layers, now.choices.image), self._on_layers),
            session.on(
                lambda now: (now.scene.pixel_size_nm, now.scene.translate), self._on_calibration
            ),
        )
        self._on_layers()

    def close(self) -> None:
        """Let go of the viewer, its layers and the work."""
        self.work.forget()
        # at the end of the program Qt has deleted the timer
        with suppress(RuntimeError):
            self._pause.stop()
        self._take(None)
        for end in self._ends:
            end()

    # what is chosen

    @property
    def mask(self) -> Labels | None:
        """The mask; None while there is none."""
        return self._mask

    @mask.setter
    def mask(self, mask: Labels | None) -> None:
        self._is_chosen = mask is not None
        self._choose(mask)

    @property
    def layer(self) -> Labels | None:
        """The layer with the mask's particles; None before they are found."""
        return self._layer

    @property
    def table(self) -> "pd.DataFrame":
        """The particles: the features of their layer."""
        if self._table is None:
            self._table = joined_table({}, False)  # imports pandas: not before it is asked for
        return self._table

    @property
    def is_series(self) -> bool:
        """Whether the mask has frames."""
        return self._mask is not None and len(image_shape(self._mask)) == 3

    @property
    def pixel_size_nm(self) -> tuple[float, float] | None:
        """(row, column) size in nm of a pixel of the mask, or of its image where it has none."""
        if self._mask is None:
            return None
        return pixel_size_nm(particle_layers.ground_layer(self.session, self._mask))

    @property
    def can_undo(self) -> bool:
        """Whether there is a correction to take back."""
        return self.corrections > 0

    @property
    def corrections(self) -> int:
        """How many corrections can be taken back."""
        return 0 if self._layer is None else history(self._layer)[0]

    @property
    def origin(self) -> Origin:
        """Where the table comes from."""
        mark = ParticlesMark()
        if self._layer is not None:
            mark = particle_layers.particles_mark(self._layer)
        image = None
        if self._mask is not None:
            image = particle_layers.image_under(self.session, self._mask)
        return Origin(
            image=mark.mask if image is None else image.name,
            mask=mark.mask,
            source=None if image is None else source_of(image),
            run=mark.run,
            pixel_size_nm=mark.pixel_size_nm,
            finding=mark.finding,
            told_apart=mark.told_apart,
            by_hand=mark.by_hand,
            resampling=None if mark.resampling is None else mark.resampling.to_dict(),
            finishing=mark.finishing,
        )

    @property
    def lattice(self) -> bool:
        """Whether the lattice of each particle is measured."""
        return self._lattice

    @lattice.setter
    def lattice(self, wanted: bool) -> None:
        if wanted != self._lattice:
            self._lattice = wanted
            self._is_remeasuring = True
            self._pause.start(0)

    def surveyed(self) -> tuple[SurveyedFrame, ...]:
        """Return the particles of each frame that was looked at."""
        layer = self._layer
        if layer is None:
            return ()
        mark, shape = particle_layers.particles_mark(layer), image_shape(layer)
        return tuple(
            SurveyedFrame(
                image=self.origin.image,
                frame=frame if len(shape) == 3 else None,
                shape=(shape[-2], shape[-1]),
                pixel_size_nm=mark.pixel_size_nm,
                table=each.table,
                boxes=each.boxes,
                with_border=mark.finding is None or mark.finding.border,
            )
            for frame, each in sorted(self._measured.items())
        )

    def _on_layers(self, _change: object = None) -> None:
        candidates = particle_layers.masks(self.session)
        is_there = self._mask in candidates
        self._is_chosen &= is_there
        if not is_there or (not self._is_chosen and self._layer_of(self._mask) is None):
            self._choose(particle_layers.first_mask(self.session))
        else:
            self._choose(self._mask)

    def _layer_of(self, mask: Labels | None) -> Labels | None:
        return particle_layers.particles_layer(self.session, mask)

    def _choose(self, mask: Labels | None) -> None:
        self._mask = mask
        layer = self._layer_of(mask)
        if layer is not self._layer:
            self._take(layer)
            self._measured = {}
            self._table = None
            if layer is not None:
                self._table = layer.features
                self._lattice = any(str(name).startswith("lattice_") for name in layer.features)
                self._pause.start(0)
        self.changed.emit()

    def _take(self, layer: Labels | None) -> None:
        if self._layer is not None:
            self._layer.events.paint.disconnect(self._on_paint)
            self._layer.events.set_data.disconnect(self._on_refresh)
        self._layer = layer
        if layer is not None:
            self._history = history(layer)
            layer.events.paint.connect(self._on_paint)
            # the only sign of an undo that napari gives is that the layer is drawn again
            layer.events.set_data.connect(self._on_refresh)

    # finding

    def find(self, finding: Finding, all_frames: bool) -> None:
        """Find the particles of the shown frame, or of all frames, in the background."""
        mask, session = self._mask, self.session
        if mask is None or self.work.is_busy:
            return
        frames = list(particle_layers.all_frames(mask))
        others: dict[int, Measured] = {}
        if not all_frames and len(frames) > 1:
            frames = [shown_frame(session.viewer, mask)]
            others = {key: value for key, value in self._measured.items() if key not in frames}
        labels = [int(each.table["label"].max()) for each in others.values() if len(each.table)]
        shape = image_shape(mask)
        ground = replace(particle_layers.ground_of(session, mask), lattice=self._lattice)
        background = particle_layers.strokes_background(session, mask)
        # a run that knows borders has told them apart already
        predicted = planes_of(mask, frames)
        labels_are: LabelsAre = "particles" if predicted else labels_are_in(mask)
        self._begin(
            lambda stopped: find_in(
                predicted.__getitem__ if predicted else partial(frame_labels, mask),
                frames,
                (shape[-2], shape[-1]),
                finding,
                ground,
                background=background,
                first_label=max(labels, default=0) + 1,
                labels_are=labels_are,
                stopped=stopped,
            ),
            partial(self._show_found, mask, finding, others, bool(predicted)),
            finding=True,
        )

    def _begin(self, job: Job, on_done: Callable[[Any], None], *, finding: bool) -> None:
        self.is_finding = finding

        def over() -> None:
            self.is_finding = False
            self.busy_changed.emit()

        def done(result: Any) -> None:
            over()
            on_done(result)

        def failed(words: str) -> None:
            over()
            self.said.emit(words, "error")

        self.work.begin(job, done, failed)
        self.busy_changed.emit()

    def _show_found(
        self,
        mask: Labels,
        finding: Finding,
        others: dict[int, Measured],
        by_border: bool,
        found: Found,
    ) -> None:
        session = self.session
        if mask not in session.viewer.layers:
            self.said.emit(f'"{mask.name}" was removed: its particles are not shown', "warning")
            return
        if found.labels.shape[1:] != image_shape(mask)[-2:]:
            self.said.emit(
                f'"{mask.name}" changed its shape in the meantime: find again', "warning"
            )
            return
        earlier = self._layer_of(mask)
        tops = [
            int(each.table["label"].max())
            for each in (*others.values(), *found.measured.values())
            if len(each.table)
        ]
        layer, kept = particle_layers.show_particles(
            session,
            mask,
            found.labels,
            found.frames,
            finding,
            max(tops, default=0),
            told_apart="border" if by_border else "numbers" if found.were_parted else "necks",
        )
        measured = {**(others if layer is earlier else {}), **found.measured}
        if mask is not self._mask:
            self._show_features(layer, mask, measured)
            return
        self._take(layer)
        self._measured = measured
        self._table = self._show_features(layer, mask, measured)
        self.changed.emit()
        self.said.emit(*self._report(found, kept, by_border))

    def _show_features(
        self, layer: Labels, mask: Labels | None, measured: dict[int, Measured]
    ) -> "pd.DataFrame":
        table = joined_table(measured, layer.ndim == 3)
        particle_layers.show_features(self.session, layer, mask, table)
        return table

    def _report(self, found: Found, kept: str, by_border: bool) -> tuple[str, str]:
        number = sum(len(each.table) for each in found.measured.values())
        words = f"{number:,} particle{'s' * (number != 1)} found"
        if len(found.labels) > 1:
            words += f" in {len(found.frames)} of {len(found.labels)} frames"
        if by_border:
            words += "; the run told those that touch apart by their borders"
        elif found.were_parted:
            words += "; the mask has one label a particle, so none was split"
        if kept:
            words += f'; what you corrected is kept in "{kept}"'
        if not number:
            return f"{words}: lower the smallest size, or look at the mask", "warning"
        return words, "plain"

    # corrections

    def delete(self, labels: Collection[int]) -> None:
        """Delete particles."""
        if self._layer is None or not labels:
            return
        particle_layers.delete(self._layer, labels, self._frames_of(labels))
        # at once; measuring the frames again confirms it
        for frame, each in self._measured.items():
            left = each.without(labels)
            if len(left.table) < len(each.table):
                self._measured[frame] = left
        self._table = self._show_features(self._layer, self._mask, self._measured)
        self.changed.emit()
        self._pause.start(0)

    def why_not_merge(self, labels: Collection[int]) -> str:
        """Return why particles cannot be made one; empty where they can."""
        if len(labels) < 2:
            return "merging takes two particles or more"
        if len(self._frames_of(labels)) > 1:
            return "particles of different frames cannot be merged"
        return ""

    def merge(self, labels: Collection[int]) -> int | None:
        """Make particles one, and return its label."""
        if self._layer is None or self.why_not_merge(labels):
            return None
        kept = particle_layers.merge(self._layer, labels, self._frames_of(labels))
        self._pause.start(0)
        return kept

    def undo(self) -> None:
        """Take the last correction back."""
        if self._layer is not None:
            self._layer.undo()
            self._on_refresh()

    def _frames_of(self, labels: Collection[int]) -> set[int]:
        table = self.table
        if "frame" not in table:
            return {0}
        return {int(frame) for frame in table["frame"][table["index"].isin(labels)]}

    def _on_paint(self, _event: object = None) -> None:
        self._note_history()
        self._pause.start(_EDIT_PAUSE_MS)

    def _on_refresh(self, _event: object = None) -> None:
        if self._layer is not None and history(self._layer) != self._history:
            self._note_history()
            self._pause.start(_EDIT_PAUSE_MS)

    def _note_history(self) -> None:
        if self._layer is not None:
            self._history = history(self._layer)
            note(self._layer, ParticlesMark, by_hand=self._history[0] > 0)

    def _on_calibration(self, _now: Situation) -> None:
        self.changed.emit()
        self._pause.start(_EDIT_PAUSE_MS)

    # measuring

    def _measure(self) -> None:
        layer = self._layer
        if layer is None:
            return
        if self.work.is_busy:
            self._pause.start(_EDIT_PAUSE_MS)
            return
        ground = particle_layers.ground_of(self.session, self._mask, layer)
        ground = replace(ground, lattice=self._lattice)
        is_same = not self._is_remeasuring
        self._is_remeasuring = False
        known = (
            self._measured
            if is_same
            and particle_layers.particles_mark(layer).pixel_size_nm == ground.pixel_size_nm
            else {}
        )
        frames = set(self._measured) or set(particle_layers.all_frames(layer))
        frames.add(shown_frame(self.session.viewer, layer))
        self._begin(
            lambda stopped: measure_again(
                partial(frame_labels, layer), sorted(frames), ground, known, stopped
            ),
            partial(self._show_measured, layer, self._history),
            finding=False,
        )

    def _show_measured(
        self, layer: Labels, at: tuple[int, int], measured: dict[int, Measured]
    ) -> None:
        if self._layer is None or layer is not self._layer:
            return
        if at != history(layer):
            self._pause.start(_EDIT_PAUSE_MS)
            return
        self._measured = measured
        self.measured.emit()
        if not joined_table(measured, layer.ndim == 3).equals(self.table):
            self._table = self._show_features(layer, self._mask, measured)
            self.changed.emit()
