"""Chosen tracks on the canvas: their particle, their way, and clicks that choose."""

import itertools
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QWidget

from napari_tem_rf.figures.palette import YELLOW
from napari_tem_rf.gui.layers.boxes import Box, Drawing, Stroke, to_scene
from napari_tem_rf.gui.layers.canvas_marks import SMALLEST_ON_SCREEN_PX, CanvasMarks
from napari_tem_rf.gui.movies.still import StillView
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import frame_of
from napari_tem_rf.movies import Tracks
from napari_tem_rf.networks.receptive_field import Interval

__all__ = ["TrackMarks"]

_MOST = 50
"""Tracks that are marked at once."""
_MOST_STEPS = 400
"""Steps of a way that are drawn; longer ways are thinned out."""
_MARGIN_PX = 2.0
_NEAR_PX = 3.0
"""How far beside a particle a click may be, in px of the image."""


class TrackMarks(CanvasMarks):
    """Marks chosen tracks, and says which track is clicked.

    The way of a track is drawn as the specimen saw it: the drift is taken off, so that it leads to
    the particle whether the series is held still or not.

    Parameters
    ----------
    session : Session
    owner : QWidget
        The dock; clicks count while it can be seen.
    on_click : callable
        Called with a track and whether it is to be added to those chosen; track 0: none.
    """

    def __init__(
        self, session: Session, owner: QWidget, on_click: Callable[[int, bool], None]
    ) -> None:
        super().__init__(session.viewer, "tracks", owner, on_click)
        self._image: Image | None = None
        self._tracks: Tracks | None = None
        self._chosen: tuple[int, ...] = ()
        self._still = session.part(StillView)
        self._still.moved.connect(self._draw)

    def close(self) -> None:
        """Listen to the viewer no longer."""
        self._still.moved.disconnect(self._draw, missing_ok=True)
        super().close()

    def show(self, image: Image | None, tracks: Tracks | None, chosen: Collection[int]) -> None:
        """Mark these tracks of a series and no others."""
        self._image, self._tracks = image, tracks
        self._chosen = tuple(chosen)[:_MOST]
        self._draw()

    def go_to(self, track: int) -> None:
        """Show a track: in this frame if it is seen here, or else where it begins."""
        image, tracks, viewer = self._image, self._tracks, self._viewer
        if image is None or tracks is None:
            return
        rows = tracks.particles[tracks.particles["track"] == track]
        if not len(rows):
            return
        here = rows[rows["frame"] == frame_of(viewer, image)]
        one = rows.iloc[0] if not len(here) else here.iloc[0]
        frame = int(one["frame"])
        if not len(here):
            world = image.data_to_world((frame, 0, 0))
            viewer.dims.set_point(viewer.dims.ndim - 3, float(world[0]))
        if viewer.dims.ndisplay != 2:
            return
        # the layers lie elsewhere in another frame where the specimen is held still
        world = image.data_to_world((frame, float(one["row_px"]), float(one["column_px"])))
        camera = viewer.scene.camera
        size = _diameter_px(tracks, one) * float(np.abs(to_scene(image)[0, 0]))
        if size * camera.zoom < SMALLEST_ON_SCREEN_PX:
            camera.zoom = SMALLEST_ON_SCREEN_PX / max(size, 1e-12)
        camera.center = (0.0, float(world[-2]), float(world[-1]))

    def _draw(self, _event: object = None) -> None:
        image, tracks, viewer = self._image, self._tracks, self._viewer
        is_there = image is not None and image in viewer.layers and self._is_visible
        if image is None or tracks is None or not is_there or not self._chosen:
            self._overlay.visible = False
            return
        if viewer.dims.ndisplay != 2 or not image.visible:
            self._overlay.visible = False
            return
        frame = frame_of(viewer, image)
        table = tracks.particles
        boxes: list[Box] = []
        strokes: list[Stroke] = []
        rows, columns = tracks.shape
        for track in self._chosen:
            # rows are in the order of tracks
            low, high = np.searchsorted(table["track"].to_numpy(), [track, track + 1])
            own = table.iloc[low:high]
            frames = own["frame"].to_numpy()
            place = own[["row_px", "column_px"]].to_numpy(np.float64)
            place = place - tracks.offsets_px[frames] + tracks.offsets_px[frame]
            thinned = place[:: max(1, len(place) // _MOST_STEPS)].tolist()
            strokes += [
                Stroke(tuple(start), tuple(stop), YELLOW, 1.5)
                for start, stop in itertools.pairwise(thinned)
            ]
            here = np.flatnonzero(frames == frame)
            if len(here):
                one = own.iloc[int(here[0])]
                half = _diameter_px(tracks, one) / 2 + _MARGIN_PX
                boxes.append(
                    Box(
                        _interval(float(one["row_px"]), half, rows),
                        _interval(float(one["column_px"]), half, columns),
                        YELLOW,
                        str(track) if len(self._chosen) <= 12 else "",
                        width_px=1.5,
                    )
                )
        self._overlay.drawing = Drawing(tuple(boxes), (), to_scene(image), tuple(strokes))
        self._overlay.visible = True

    def _under_mouse(self) -> Callable[[Any], int] | None:
        image, tracks, viewer = self._image, self._tracks, self._viewer
        if image is None or tracks is None or image not in viewer.layers:
            return None

        def track(event: Any) -> int:
            at = np.asarray(image.world_to_data(event.position))
            return track_at(tracks, frame_of(viewer, image), (float(at[-2]), float(at[-1])))

        return track


def track_at(tracks: Tracks, frame: int, at: tuple[float, float]) -> int:
    """Return the track whose particle lies at a place of a frame, (row, column); 0 for none."""
    here = tracks.particles[tracks.particles["frame"] == frame]
    if not len(here):
        return 0
    place = here[["row_px", "column_px"]].to_numpy(np.float64)
    apart = np.hypot(*(place - at).T)
    reach = here[f"equivalent_diameter_{tracks.unit}"].to_numpy() / _side(tracks) / 2
    beside = apart - np.maximum(reach, _NEAR_PX)
    nearest = int(np.argmin(beside))
    return int(here["track"].iloc[nearest]) if beside[nearest] <= _NEAR_PX else 0


def _diameter_px(tracks: Tracks, one: Any) -> float:
    """Return the diameter of a row's particle in px."""
    return float(one[f"equivalent_diameter_{tracks.unit}"]) / _side(tracks)


def _side(tracks: Tracks) -> float:
    """Return the side of a square as large as a pixel, in the unit of lengths."""
    size = tracks.pixel_size_nm
    return 1.0 if size is None else float(np.sqrt(size[0] * size[1]))


def _interval(at: float, half: float, length: int) -> Interval:
    return Interval(
        max(0, int(np.floor(at - half))), min(length, int(np.ceil(at + half)) + 1), length
    )
