"""Outlines as GeoJSON, as QuPath writes and reads it (RFC 7946 with pixels for degrees).

A feature's position is (x, y) in px from the image's corner; the frame of a series is the ``t`` of
its ``plane``; its class is its ``classification``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.figures.palette import CLASS_COLORS
from napari_tem_rf.micrographs.instance_images import Instance, InstanceImage, each_instance
from napari_tem_rf.micrographs.outlines import Outline, Piece, trace_pieces
from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.records import RecordError, read_json
from napari_tem_rf.storage import refuse_existing, write_text

__all__ = ["read_geojson", "write_geojson"]

_LARGEST_BYTES = 512 * 2**20
_MOST_VALUES = 50_000_000


def read_geojson(path: Path) -> tuple[list[Outline], tuple[str, ...]]:
    """Return the areas of a GeoJSON file, and sentences for the user.

    Raises
    ------
    ReadingError
        If it holds no area, or is no GeoJSON in px.
    """
    try:
        values = read_json(path, _LARGEST_BYTES, _MOST_VALUES)
    except RecordError as error:
        raise ReadingError(f'"{path.name}" cannot be read as GeoJSON: {error}') from error
    outlines: list[Outline] = []
    others: set[str] = set()
    number = 0
    for number, feature in enumerate(_features(values), start=1):
        try:
            outline, left = _outline(feature)
        except (ArithmeticError, KeyError, IndexError, TypeError, ValueError) as error:
            raise ReadingError(
                f'feature {number} of "{path.name}" is damaged ({error!s:.100}): write the file '
                "anew in the program that it comes from"
            ) from error
        others |= left
        if outline is not None:
            outlines.append(outline)
    if not outlines:
        held = f"{number} features of type {', '.join(sorted(others))}" if others else "no feature"
        raise ReadingError(
            f'"{path.name}" holds {held} and no area: outline the particles in QuPath and write '
            "them with File > Export objects as GeoJSON"
        )
    kinds = ", ".join(sorted(others))
    note = f"{kinds} among the features are left out: they have no area"
    return outlines, (note,) if others else ()


def _features(values: Any) -> Iterator[Any]:
    if isinstance(values, list):
        yield from values
    elif isinstance(values, dict) and isinstance(values.get("features"), list):
        yield from values["features"]
    elif isinstance(values, dict) and "type" in values:
        yield values if values["type"] == "Feature" else {"type": "Feature", "geometry": values}


def _outline(feature: Any) -> tuple[Outline | None, set[str]]:
    """Return the outline of a feature, and the types of its parts that are none."""
    geometry = feature.get("geometry")
    if geometry is None:
        return None, set()
    pieces: list[Piece] = []
    others: set[str] = set()
    for part in _parts(geometry):
        kind, places = part["type"], part.get("coordinates") or []
        if kind == "Polygon":
            pieces.append(_piece(places))
        elif kind == "MultiPolygon":
            pieces += [_piece(each) for each in places]
        else:
            others.add(str(kind))
    pieces = [piece for piece in pieces if piece]
    if not pieces:
        return None, others
    properties = feature.get("properties") or {}
    kind = properties.get("classification") or ""
    if isinstance(kind, dict):
        named = kind.get("name") or kind.get("names") or ""
        kind = ": ".join(map(str, named)) if isinstance(named, list) else named
    plane = geometry.get("plane") or {}
    frame = int(plane.get("t") or plane.get("z") or 0)
    if frame < 0:
        raise ValueError(f"its plane is {frame}")
    return Outline(tuple(pieces), str(properties.get("name") or ""), str(kind), frame), others


def _parts(geometry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if geometry["type"] == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _parts(part)
    else:
        yield geometry


def _piece(places: Any) -> Piece:
    rings = [_ring(each) for each in places]
    return tuple(ring for ring in rings if len(ring) > 2)


def _ring(places: Any) -> NDArray[Any]:
    ring = np.array([place[:2] for place in places], float).reshape(-1, 2)
    if not np.isfinite(ring).all():
        raise ValueError("a corner is not a number")
    # the last place is the first again
    if len(ring) > 1 and (ring[0] == ring[-1]).all():
        ring = ring[:-1]
    return ring[:, ::-1]


def write_geojson(
    path: str | Path,
    images: Iterable[InstanceImage],
    class_names: Mapping[int, str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write the instances of an image or series as GeoJSON.

    Each is an annotation of QuPath with its number in its name, its class, and its area.

    Parameters
    ----------
    path : str or Path
        .geojson file.
    images : iterable of InstanceImage
        The image, or the frames of a series one after the other.
    class_names : mapping of int to str
        Name of each class value.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    ValueError
        If instances are not (row, column) whole numbers, or of a class without a name.
    FileExistsError
        If the path exists and ``overwrite`` is not set.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    places = {value: place for place, value in enumerate(class_names, start=1)}
    features = [
        json.dumps(_feature(image, instance, class_names, places[instance.value]))
        for image in images
        for instance in each_instance(image, class_names)
    ]
    write_text(
        path, '{"type": "FeatureCollection", "features": [\n' + ",\n".join(features) + "\n]}\n"
    )
    return path


def _feature(
    image: InstanceImage, instance: Instance, class_names: Mapping[int, str], place: int
) -> dict[str, Any]:
    pieces = [
        [_closed(ring + instance.origin) for ring in piece] for piece in trace_pieces(instance.mask)
    ]
    geometry: dict[str, Any] = (
        {"type": "Polygon", "coordinates": pieces[0]}
        if len(pieces) == 1
        else {"type": "MultiPolygon", "coordinates": pieces}
    )
    if image.frame is not None:
        geometry["plane"] = {"c": -1, "z": 0, "t": image.frame}
    area = {"Area px^2": float(instance.area)}
    if instance.area_nm2 is not None:
        area["Area nm^2"] = instance.area_nm2
    kind, color = class_names[instance.value], CLASS_COLORS[place % len(CLASS_COLORS)]
    return {
        "type": "Feature",
        # the same for the same particle, so that files can be compared
        "id": str(uuid5(NAMESPACE_URL, f"{image.file_name}#{instance.number}")),
        "geometry": geometry,
        "properties": {
            "objectType": "annotation",
            "name": f"{kind} {instance.number}",
            "classification": {"name": kind, "color": list(bytes.fromhex(color[1:]))},
            "measurements": area,
        },
    }


def _closed(ring: NDArray[Any]) -> Sequence[Sequence[int]]:
    """Return a ring as (x, y) places, the first again at its end."""
    places: list[list[int]] = ring[:, ::-1].tolist()
    return [*places, places[0]]
