"""Tracks on the canvas: one layer of the program's own a series, with the tree of mergers."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Tracks as TracksLayer
from numpy.typing import NDArray

from napari_tem_rf.gui.layers.layers import image_shape, placement
from napari_tem_rf.gui.layers.marks import (
    MARK,
    ParticlesMark,
    TracksMark,
    id_of,
    mark_of,
)
from napari_tem_rf.gui.particles.layers import masks, strokes_background
from napari_tem_rf.gui.session.predictions import live_layer
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.movies import Tracks

__all__ = ["remove_tracks", "series_masks", "show_tracks", "tracks_layer"]

_TINT = "colour"
"""Feature that gives neighbouring numbers colours far apart."""

_GOLDEN = 0.6180339887
_TAIL_FRAMES = 30


def series_masks(session: Session, image: Image | None) -> list[Labels]:
    """Return the layers whose particles can be tracked: particles last, as what is best known.

    Strokes are on some frames only, and are not among them; what follows them comes first.
    """
    if image is None:
        return []
    shape = image_shape(image)
    found: list[Labels] = [
        layer
        for layer in masks(session)
        if image_shape(layer) == shape and not strokes_background(session, layer)
    ]
    found += [
        layer
        for layer in session.viewer.layers
        if isinstance(layer, Labels)
        and isinstance(mark_of(layer), ParticlesMark)
        and image_shape(layer) == shape
        and layer not in found
    ]
    # what follows the strokes knows the frames that were painted on or looked at
    live = live_layer(session, image)
    return sorted(found, key=lambda layer: layer is not live)


def tracks_layer(session: Session, image: Image | None) -> TracksLayer | None:
    """Return the program's own layer with the tracks of a series; None where there is none."""
    if image is None:
        return None
    for layer in reversed(session.viewer.layers):
        mark = mark_of(layer)
        if isinstance(mark, TracksMark) and mark.image_id == id_of(image):
            return layer if isinstance(layer, TracksLayer) else None
    return None


def remove_tracks(session: Session, image: Image | None) -> None:
    """Take the layer of tracks away, if there is one."""
    layer = tracks_layer(session, image)
    if layer is not None:
        session.viewer.layers.remove(layer)


def show_tracks(
    session: Session, image: Image, tracks: Tracks, offsets_px: NDArray[np.float64] | None
) -> Iterator[None]:
    """Show tracks over their series, in a layer made or updated; in steps, for `Steps`.

    napari builds its arrays anew for each attribute of the layer, and draws for each event: of tens
    of thousands of places that takes as long as a step should at most.

    Parameters
    ----------
    session : Session
    image : Image
    tracks : Tracks
    offsets_px : ndarray, shape (frame, 2), optional
        The drift against which the series is held still; None where it moves, and the tracks with
        it.
    """
    table = tracks.particles
    if not len(table):
        remove_tracks(session, image)
        return
    data = table[["track", "frame", "row_px", "column_px"]].to_numpy(np.float64)
    if offsets_px is not None:
        data[:, 2:] -= offsets_px[data[:, 1].astype(int)]
    names = data[:, 0].astype(int)
    unit = tracks.unit
    features = {
        "track_id": names,
        _TINT: np.mod(names * _GOLDEN, 1.0),
        f"diameter_{unit}": table[f"equivalent_diameter_{unit}"].to_numpy(np.float64),
    }
    graph: dict[int, Sequence[int]] = {child: list(each) for child, each in tracks.parents.items()}
    graph |= {child: [origin] for child, origin in tracks.origins.items()}
    layer = tracks_layer(session, image)
    if layer is None:
        yield from _add(session, image, data, features, graph)
    else:
        yield from _update(session, image, layer, data, features, graph)


def _update(
    session: Session,
    image: Image,
    layer: TracksLayer,
    data: NDArray[np.float64],
    features: Any,
    graph: Any,
) -> Iterator[None]:
    for attribute, value in placement(image).items():
        if not np.array_equal(getattr(layer, attribute), value):
            setattr(layer, attribute, value)
    color_by = layer.color_by
    # what is drawn stays as it was until all is there
    with layer.events.blocker_all():
        # with the data napari drops all features but this one
        layer.color_by = "track_id"
        layer.data = data
        layer.features = features
        layer.color_by = color_by if color_by in features else _TINT
    yield
    if layer not in session.viewer.layers:
        return
    with layer.events.blocker_all():
        layer.graph = graph
    yield
    if layer not in session.viewer.layers:
        return
    layer.events.properties()
    layer.events.color_by()
    layer.events.rebuild_tracks()
    layer.events.rebuild_graph()
    layer.events.data(value=layer.data)


def _add(
    session: Session, image: Image, data: NDArray[np.float64], features: Any, graph: Any
) -> Iterator[None]:
    layer = TracksLayer(
        data,
        features=features,
        name=f"{image.name}: tracks",
        color_by=_TINT,
        colormap="hsv",
        blending="translucent",
        tail_length=_TAIL_FRAMES,
        tail_width=2,
        metadata={MARK: TracksMark(image=str(image.name), image_id=id_of(image))},
        **placement(image),
    )
    yield
    layer.graph = graph
    yield
    if image in session.viewer.layers and tracks_layer(session, image) is None:
        # on top: a mask would hide what goes through it
        session.insert_unselected(len(session.viewer.layers), layer)
