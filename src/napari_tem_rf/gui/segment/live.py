"""Live: while strokes are painted, a prediction of what is in view follows each of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import napari
import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_tem_rf import jobs
from napari_tem_rf.gui.layers.layers import frame_labels, frame_pixels, image_shape
from napari_tem_rf.gui.layers.marks import id_of
from napari_tem_rf.gui.pieces.parts import Sentence, column, listen, sentence
from napari_tem_rf.gui.pieces.shortcuts import key_of
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.gui.segment.learning_on import LearningOn
from napari_tem_rf.gui.session.background import Latest, Request, run_in_thread
from napari_tem_rf.gui.session.current_image import CurrentImage
from napari_tem_rf.gui.session.label_counts import painted_rows
from napari_tem_rf.gui.session.predictions import live_layer, show_live
from napari_tem_rf.gui.session.preferences import preferences
from napari_tem_rf.gui.session.request import window_in_view
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.micrographs.annotation import Classes, index_labels
from napari_tem_rf.protocol import PreviewReport

__all__ = ["MOST_EARLY_PX", "MOST_VIEW_PX", "LivePart", "view_step"]

MOST_VIEW_PX = 1_200_000
"""Pixels that are predicted at a time, at most; a larger view is seen in blocks."""

MOST_EARLY_PX = 300_000
"""The same for the first answer, which is there before PyTorch is loaded."""

MOST_WHOLE_PX = 4_200_000
"""Images of at most this many pixels, or blocks, are predicted beyond the view too."""

VIEW_MARGIN_PX = 64
"""What is predicted around the view, so that a small move shows no gap."""

MOST_STROKE_PX = 100_000
"""Painted pixels of a frame that are sent to the worker, at most."""

CHUNK_PX = 512

REST_MS = 2000
"""A hand that rests for so long lets the network learn."""

_LINES = 3
"""What the longest sentence takes in a dock as wide as it opens."""

_SOON_MS = 20
_VIEW_PAUSE_MS = 150

Window = tuple[slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A request, and where its answer belongs."""

    request: jobs.LiveRequest
    image: Image
    frame: int
    classes: Classes

    def is_same(self, other: "_Asked | None") -> bool:
        """Whether the other one would be answered alike."""
        if other is None or (self.image, self.frame) != (other.image, other.frame):
            return False
        mine, theirs = self.request, other.request
        same = (mine.key, mine.window, mine.step, self.classes) == (
            (theirs.key, theirs.window, theirs.step, other.classes)
        )
        return same and _same_strokes(mine.strokes, theirs.strokes)


class LivePart(QWidget):
    """A tick, and a line that says what the live prediction shows and why.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    below : QWidget, optional
        The widget with a column, at whose end it stands.
    """

    def __init__(self, viewer: "napari.viewer.Viewer", below: QWidget | None = None) -> None:
        super().__init__()
        if below is not None and (place := below.layout()) is not None:
            place.addWidget(self)
        self.session: Session = session_of(viewer)
        self._latest = Latest()
        self._is_warm = False
        self._sent_early: set[str] = set()
        self._asked: _Asked | None = None
        self._shown: _Asked | None = None
        self._trained: tuple[jobs.LiveStrokes, ...] | None = None
        self._said = ""
        self.learning = LearningOn(self.session)
        self._heard: Labels | None = None
        self._versions: WeakKeyDictionary[Image, int] = WeakKeyDictionary()
        self._frames: dict[str, tuple[Image, int]] = {}

        self.tick = QCheckBox("Live")
        self.tick.setChecked(preferences().live)
        set_tip(
            self.tick,
            "Predict what is in view after each stroke, in a layer of its own.\n"
            "A quick answer from grey level, texture and lattice around your strokes comes first.\n"
            "While you rest, the network learns from them in the background and takes over once\n"
            f"it does better ({key_of('stop')} stops it). Train makes a run for other images.",
        )
        self.tick.toggled.connect(self._on_tick)
        self.words = Sentence(lines=_LINES)
        column(self, [self.tick, self.words], spacing=2)

        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._soon.timeout.connect(self.follow)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._judge)
        self._view_pause = QTimer(self)
        self._view_pause.setSingleShot(True)
        self._view_pause.setInterval(_VIEW_PAUSE_MS)
        self._view_pause.timeout.connect(self.follow)

        session = self.session
        session.watch(
            self,
            lambda now: (
                now.choices.image,
                now.choices.annotation,
                now.choices.unlabelled,
                now.choices.cleaning,
                now.scene.frame,
                now.scene.classes,
                now.scene.annotated,
                now.edits,
            ),
            self._on_scene,
        )
        session.watch(self, lambda now: now.activity.training, self._on_training)
        listen(self, session.background.engine_changed, self._on_engine)
        listen(self, session.closed, self._end)
        listen(self, session.requested, self._on_request)
        listen(self, self.learning.changed, self._say_shown)
        listen(self, self.learning.predicted, self._show_network)
        listen(self, viewer.scene.camera.events.zoom, self._on_view)
        listen(self, viewer.scene.camera.events.center, self._on_view)
        self._on_scene(session.situation)

    # what happens

    def _on_scene(self, now: Situation) -> None:
        annotation = now.choices.annotation
        if annotation is not self._heard:
            for layer, verb in ((self._heard, "disconnect"), (annotation, "connect")):
                if layer is not None:
                    getattr(layer.events.paint, verb)(self._on_stroke)
                    # an undo or redo tells only that the data are drawn again
                    getattr(layer.events.set_data, verb)(self._on_stroke)
            self._heard = annotation
        self.tick.setVisible(annotation is not None)
        self._soon.start()

    def _on_stroke(self, _event: object = None) -> None:
        self._soon.start()

    def _on_view(self, _event: object = None) -> None:
        if self._shown is not None and window_in_view(self._shown.image) is not None:
            self._view_pause.start()

    def _on_tick(self, is_on: bool) -> None:
        self._forget()
        self._trained = None
        if is_on:
            self.follow()
        else:
            self.words.say("")
            self._hide()

    def _on_engine(self) -> None:
        if self.session.engine.state in ("starting", "ready"):
            self._soon.start()
        else:
            self._asked = None  # what was asked went with the workers
            self._is_warm = False
            self._sent_early.clear()

    def _on_training(self, now: Situation) -> None:
        if now.activity.training is None:
            # until the next stroke the training's prediction is shown, whatever comes into view
            self._trained = tuple(self._strokes(now))
            if self.tick.isChecked() and now.choices.annotation is not None:
                self.words.say("Paint on, and a quick prediction follows again.", "quiet")
            return
        self._forget()
        self.follow()

    def _on_request(self, name: str) -> None:
        if name == "stop" and self.learning.is_learning:
            self._rest.stop()
            self.learning.stop()
            self._say_shown()

    def _forget(self) -> None:
        self._rest.stop()
        self.learning.stop()
        self._latest.drop()
        self._asked = self._shown = None

    def _hide(self) -> None:
        image = self.session.image
        layer = None if image is None else live_layer(self.session, image)
        if layer is not None:
            layer.visible = False

    def _end(self) -> None:
        self.learning.stop()
        self._latest.drop()
        self._rest.stop()
        self._soon.stop()
        self._view_pause.stop()
        if self._heard is not None:
            self._heard.events.paint.disconnect(self._on_stroke)
            self._heard.events.set_data.disconnect(self._on_stroke)
            self._heard = None

    # asking

    def follow(self) -> None:
        """Ask for a prediction of the view from the strokes as they are, or say what is lacking."""
        now = self.session.situation
        if not self.tick.isChecked() or now.choices.annotation is None:
            self._latest.drop()
            self._asked = None
            self.words.say("")
            return
        if now.activity.training is not None:
            self.words.say("Train is running: its own prediction follows.", "quiet")
            return
        if now.choices.unlabelled == "background":
            self._forget()
            self.words.say("Live follows strokes; a finished mask needs Train.", "quiet")
            return
        asked = self._gathered(now)
        if asked is None or asked.is_same(self._asked):
            return
        if self._trained is not None:
            if _same_strokes(asked.request.strokes, self._trained):
                return
            self._trained = None
        self._asked = asked
        self._rest.stop()
        self.learning.stop()  # it goes on from the newest strokes once they are answered
        lacking = _lacking(asked)
        if lacking:
            self.words.say(lacking, "quiet")
            self._hide()
        if self.session.engine.state != "ready":
            if not lacking:
                self.words.say("Live begins as soon as the worker process is up.", "quiet")
            if self.session.engine.state != "starting":
                self._asked = None
                return
        if lacking:  # so that the first prediction is there at once
            asked = replace(asked, request=replace(asked.request, strokes=()))
        if not self._is_warm:  # first an answer that waits for no PyTorch
            step = view_step(asked.request.window, asked.request.cleaning.binning, MOST_EARLY_PX)
            asked = replace(asked, request=replace(asked.request, early=True, step=step))
        self._ask(asked, self._latest.ask(), lacking == "")

    def _gathered(self, now: Situation) -> _Asked | None:
        self._frames.clear()
        image, annotation = now.choices.image, now.choices.annotation
        if image is None or annotation is None or image_shape(image) != image_shape(annotation):
            return None
        window, step = self._window(image, now.choices.cleaning.binning)
        request = jobs.LiveRequest(
            strokes=tuple(self._strokes(now)),
            key=self._key(image, now.scene.frame),
            window=window,
            step=step,
            cleaning=now.choices.cleaning,
            seed=now.choices.plan.seed,
        )
        return _Asked(request, image, now.scene.frame, now.scene.classes)

    def _window(self, image: Image, binning: int) -> tuple[Window, int]:
        rows, columns = image_shape(image)[-2:]
        seen = window_in_view(image)
        if seen is None:
            window = (slice(0, rows), slice(0, columns))
        else:
            window = tuple(  # type: ignore[assignment]
                slice(max(0, side.start - VIEW_MARGIN_PX), min(length, side.stop + VIEW_MARGIN_PX))
                for side, length in zip(seen, (rows, columns), strict=True)
            )
        return window, view_step(window, binning)

    def _strokes(self, now: Situation) -> Iterator[jobs.LiveStrokes]:
        chosen = now.choices.annotation
        for each in now.scene.annotated:
            image, layer = each.pair.image, each.pair.labels
            if image_shape(image) != image_shape(layer):
                continue
            frames = set(each.frames)
            if layer is chosen:
                frames.add(now.scene.frame)  # its first stroke may not be counted yet
            for frame in sorted(frames):
                found = _painted(layer, frame, now.scene.classes, self._key(image, frame))
                if found is not None:
                    yield found

    def _key(self, image: Image, frame: int) -> str:
        """Return what the worker knows the pixels of a frame by."""
        if image not in self._versions:
            self._versions[image] = 0
            listen(self, image.events.data, self._on_pixels)
        key = f"{id_of(image)} {self._versions[image]} {frame} {self.session.cleaning}"
        self._frames[key] = (image, frame)
        return key

    def _on_pixels(self, event: object) -> None:
        image = getattr(event, "source", None)
        if image in self._versions:
            self._versions[image] += 1
            self._soon.start()

    def _ask(self, asked: _Asked, newest: Request, shows: bool) -> None:
        if not newest:
            return
        early, key = asked.request.early, asked.request.key
        if early and key not in self._sent_early:  # that it lacks the image need not be asked
            self._sent_early.add(key)
            self._send(asked, key, newest, shows)
            return

        def answered(answer: jobs.LiveAnswer) -> None:
            if answer.missing:
                self._send(asked, answer.missing[0], newest, shows)
            elif answer.left:
                if shows and self._shown is None and early is not self._is_warm:
                    self.words.say("Looking at the image for the first time.", "quiet")
                self._ask(asked, newest, shows)
            elif early:
                if answer.classes is not None and shows:
                    self._show_early(asked, answer.classes)
                self._ask_better(asked, newest, shows)
            else:
                self._is_warm = True
                if answer.classes is not None and shows:
                    self._show(asked, answer.classes, newest)

        work = self.session.submit(
            jobs.predict_live,
            asked.request,
            name="live prediction",
            is_light=early,
            on_done=newest.only(answered),
            on_failed=newest.only(lambda words: self._go_without(words, asked, newest, shows)),
        )
        newest.holds(work)

    def _send(self, asked: _Asked, key: str, newest: Request, shows: bool) -> None:
        """Give the worker the pixels of a frame; a thread copies them, for it may have to read."""
        if key not in self._frames:
            return
        image, frame = self._frames[key]

        def read(pixels: NDArray[np.float32]) -> None:
            self.session.submit(
                jobs.keep_live_image,
                key,
                pixels,
                asked.request.cleaning,
                name="live prediction",
                is_light=asked.request.early,
                on_done=newest.only(lambda _: self._ask(asked, newest, shows)),
                on_failed=newest.only(lambda words: self._go_without(words, asked, newest, shows)),
            )

        run_in_thread(
            lambda _stopped, _say: frame_pixels(image, frame),
            newest.only(read),
            newest.only(self._say_failed),
            owner=self,
        )

    def _go_without(self, words: str, asked: _Asked, newest: Request, shows: bool) -> None:
        if asked.request.early:
            self._ask_better(asked, newest, shows)
        else:
            self._say_failed(words)

    def _ask_better(self, asked: _Asked, newest: Request, shows: bool) -> None:
        """Ask the networks too, once the answer without them is there or will not come."""
        step = view_step(asked.request.window, asked.request.cleaning.binning)
        better = replace(asked, request=replace(asked.request, early=False, step=step))
        self._ask(better, newest, shows)

    def _say_failed(self, words: str) -> None:
        self._asked = None
        self.words.say(sentence(words), "error")

    # showing

    def _show_early(self, asked: _Asked, found: NDArray[np.uint8]) -> None:
        if self._put(asked, found):
            self.words.say(
                f"A first prediction from grey level and texture of {_painted_px(asked):,} painted "
                f"px is shown{_coarse(asked)}; a better one follows in a moment.",
                "quiet",
            )

    def _show(self, asked: _Asked, found: NDArray[np.uint8], newest: Request) -> None:
        if not self._put(asked, found):
            return
        self._shown = asked
        coarse = f"{_coarse(asked)} until you zoom in" if asked.request.step > 1 else ""
        self._said = f"A quick prediction from {_painted_px(asked):,} painted px is shown{coarse}"
        self.words.say(f"{self._said}; it follows each stroke.", "quiet")
        self._rest.start()
        self._go_on(asked, newest)

    def _put(self, asked: _Asked, found: NDArray[np.uint8]) -> bool:
        """Show what was found; whether the image is still in view."""
        image, window = asked.image, asked.request.window
        if image not in self.session.viewer.layers or not self._is_in_view(image):
            return False  # another image was chosen while the answer came
        classes = asked.classes
        before = live_layer(self.session, image)
        layer = show_live(
            self.session,
            image,
            jobs.label_values(found, classes),
            classes,
            frame=asked.frame,
            origin=(window[0].start, window[1].start),
        )
        if before is None or not layer.visible:
            self.session.part(CurrentImage).show_only(layer, image)
        return True

    # the network

    def _judge(self) -> None:
        """Let the quick prediction be judged, and then the network learn."""
        asked = self._shown
        if asked is None or not self.session.refresh().can_train:
            return

        def judged(quick: jobs.Judgement | None) -> None:
            if quick is None:
                self.words.say(
                    f"{self._said}; paint more of each class, here and there, and the network "
                    "learns too.",
                    "quiet",
                )
            elif self._shown is asked and self.session.situation.can_train:
                self.learning.begin(quick)
                self._say_shown()

        self.session.submit(
            jobs.judge_live,
            asked.request,
            name="live prediction",
            on_done=judged,
            on_failed=self._say_failed,
        )

    def _show_network(self, report: PreviewReport) -> None:
        asked = self._shown
        if asked is None or asked.image not in self.session.viewer.layers:
            return
        show_live(
            self.session,
            asked.image,
            report.labels,
            asked.classes,
            frame=asked.frame,
            origin=report.origin,
        )
        self._said = "The network's prediction is shown"
        self._say_shown()

    def _say_shown(self) -> None:
        """Say which prediction is shown, and why."""
        learning = self.learning
        if not self._said or self._shown is None:
            return
        if learning.trouble:
            self.words.say(sentence(f"{self._said}; the network: {learning.trouble}"), "warning")
            return
        how = "learns on" if learning.is_learning else "gets no better" if learning.is_over else ""
        mine, quick = learning.network, learning.quick
        if mine is None or quick is None:
            doing = "; the network learns from your strokes" if learning.is_learning else ""
            self.words.say(f"{self._said}{doing}.", "quiet")
            return
        better = learning.is_better
        if round(mine.dice, 2) == round(quick.dice, 2):
            scores = f"Dice {mine.dice:.2f} as well, and {'surer' if better else 'less sure'}"
        else:
            scores = f"Dice {mine.dice:.2f} against {quick.dice:.2f}"
        why = "does better" if better else "does no better"
        ending = f"; it {how}" if how else ""
        self.words.say(
            f"{self._said}: the network {why} on strokes held back ({scores}){ending}.",
            "quiet",
        )

    def _is_in_view(self, image: Image) -> bool:
        choices = self.session.situation.choices
        return choices.side_by_side or image is choices.image

    def _go_on(self, asked: _Asked, newest: Request) -> None:
        """Predict what is not in view too, piece by piece, where the image is not too large."""
        request = asked.request
        rows, columns = image_shape(asked.image)[-2:]
        side = CHUNK_PX * request.step * request.cleaning.binning
        if rows * columns * CHUNK_PX**2 > MOST_WHOLE_PX * side**2:
            return
        rest = [
            (slice(row, min(row + side, rows)), slice(column, min(column + side, columns)))
            for row in range(0, rows, side)
            for column in range(0, columns, side)
        ]
        rest = [each for each in rest if not _is_within(each, request.window)]
        self._next_chunk(asked, rest, newest)

    def _next_chunk(self, asked: _Asked, rest: list[Window], newest: Request) -> None:
        if not rest or not newest:
            return
        window = rest[0]

        def answered(answer: jobs.LiveAnswer) -> None:
            done = answer.classes is not None
            if answer.classes is not None and asked.image in self.session.viewer.layers:
                show_live(
                    self.session,
                    asked.image,
                    jobs.label_values(answer.classes, asked.classes),
                    asked.classes,
                    frame=asked.frame,
                    origin=(window[0].start, window[1].start),
                )
            if done or answer.left:
                self._next_chunk(asked, rest[1:] if done else rest, newest)

        work = self.session.submit(
            jobs.predict_live,
            replace(asked.request, window=window),
            name="live prediction",
            on_done=newest.only(answered),
            on_failed=newest.only(self._say_failed),
        )
        newest.holds(work)


def view_step(window: Window, binning: int, most_px: int = MOST_VIEW_PX) -> int:
    """Return the side of the blocks that a view is seen in: 1, 2, 4, ..., as fine as it may be."""
    step = 1
    pixels = (window[0].stop - window[0].start) * (window[1].stop - window[1].start)
    while pixels > most_px * (step * binning) ** 2:
        step *= 2
    return step


def _painted(layer: Labels, frame: int, classes: Classes, key: str) -> jobs.LiveStrokes | None:
    """Return what is painted of the classes on a frame; None where nothing is."""
    plane = frame_labels(layer, frame)
    among = painted_rows(plane)
    at = np.flatnonzero(plane[among]) + among.start * plane.shape[1]
    at = at[:: 1 + len(at) // MOST_STROKE_PX]
    indices = index_labels(plane.ravel()[at], classes, "ignore")
    at, indices = at[indices >= 0], indices[indices >= 0]
    if not len(at):
        return None
    rows, columns = np.divmod(at.astype(np.int32), np.int32(plane.shape[1]))
    return jobs.LiveStrokes(key, rows, columns, indices.astype(np.uint8))


def _coarse(asked: _Asked) -> str:
    return f", in blocks of {asked.request.step} px" if asked.request.step > 1 else ""


def _painted_px(asked: _Asked) -> int:
    return sum(each.classes.size for each in asked.request.strokes)


def _lacking(asked: _Asked) -> str:
    """Return what to paint before anything can be predicted; empty where nothing is lacking."""
    strokes = asked.request.strokes
    painted = {int(index) for each in strokes for index in np.unique(each.classes)}
    if len(painted) > 1:
        return ""
    names = asked.classes.names
    if not painted:
        return f"Live: paint a stroke on {_listed(names)}, and the prediction follows."
    others = [name for place, name in enumerate(names) if place not in painted]
    return f"Live: paint a stroke on {_listed(others, 'or')} too; one class says nothing yet."


def _listed(names: Sequence[str], word: str = "and") -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _same_strokes(mine: tuple[jobs.LiveStrokes, ...], theirs: tuple[jobs.LiveStrokes, ...]) -> bool:
    return len(mine) == len(theirs) and all(
        a.key == b.key
        and np.array_equal(a.rows, b.rows)
        and np.array_equal(a.columns, b.columns)
        and np.array_equal(a.classes, b.classes)
        for a, b in zip(mine, theirs, strict=True)
    )


def _is_within(inner: Window, outer: Window) -> bool:
    return all(o.start <= i.start and i.stop <= o.stop for i, o in zip(inner, outer, strict=True))
