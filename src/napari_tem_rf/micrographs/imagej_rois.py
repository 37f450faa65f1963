"""Outlines as ImageJ's RoiSet.zip, which its ROI manager opens and saves.

Corners are those of pixels, as ImageJ's own wand traces them; a particle with holes, or in pieces,
is a composite selection. The format: ``ij.io.RoiDecoder`` of ImageJ.
"""

import math
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.figures.palette import CLASS_COLORS
from napari_tem_rf.micrographs.instance_images import InstanceImage, each_instance
from napari_tem_rf.micrographs.outlines import Outline, Piece, trace_pieces
from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.storage import refuse_existing, write_aside

__all__ = ["holds_rois", "read_rois", "write_rois"]

_MOST_ROIS = 200_000
_LARGEST_ROI_BYTES = 64 * 2**20
_LARGEST_BYTES = 2**30

# segments of a path, as java.awt.geom.PathIterator numbers them
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0
_NUMBERS_OF_SEGMENT = {0: 2, 1: 2, 2: 4, 3: 6, 4: 0}

_LARGEST_GROUP = 255

# a zip that was made for all times alike
_DATE = (1980, 1, 1, 0, 0, 0)


def holds_rois(path: Path) -> bool:
    """Return whether a zip is a set of ROIs, by what is in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(_is_roi(name) for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def _is_roi(name: str) -> bool:
    # what the Mac puts beside files is called like them
    return name.lower().endswith(".roi") and not name.startswith("__MACOSX/")


def read_rois(path: Path) -> tuple[list[Outline], tuple[str, ...]]:
    """Return the areas of a RoiSet.zip or .roi file, and sentences for the user.

    Raises
    ------
    ReadingError
        If it holds no area.
    """
    outlines: list[Outline] = []
    no_areas = 0
    for name, data in _entries(path):
        outline = _outline(path, name, data)
        if outline is None:
            no_areas += 1
        else:
            outlines.append(outline)
    if not outlines:
        held = f"{no_areas} lines or points" if no_areas else "nothing"
        raise ReadingError(
            f'"{path.name}" holds {held} and no area: outline the particles in ImageJ, add them to '
            "the ROI manager and save them there"
        )
    groups = {outline.kind for outline in outlines}
    if len(groups) == 1:
        # of one group are all particles of one kind, whatever its number
        outlines = [Outline(each.pieces, each.name, "", each.frame) for each in outlines]
    lines = f"{no_areas} lines or points among the ROIs are left out: they have no area"
    return outlines, (lines,) if no_areas else ()


def _entries(path: Path) -> Iterable[tuple[str, bytes]]:
    if path.suffix.lower() == ".roi":
        if path.stat().st_size > _LARGEST_ROI_BYTES:
            raise ReadingError(f'"{path.name}" is larger than a ROI can be: it is something else')
        yield path.stem, path.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        entries = [each for each in archive.infolist() if _is_roi(each.filename)]
        if not entries:
            raise ReadingError(
                f'"{path.name}" holds no ImageJ ROI: save the ROIs with "Save..." in ImageJ\'s ROI '
                "manager"
            )
        too_many = len(entries) > _MOST_ROIS
        if too_many or sum(each.file_size for each in entries) > _LARGEST_BYTES:
            raise ReadingError(
                f'"{path.name}" holds {len(entries):,} ROIs of '
                f"{sum(each.file_size for each in entries):,} bytes: at most {_MOST_ROIS:,} of "
                f"{_LARGEST_BYTES:,} bytes are read"
            )
        for entry in entries:
            with archive.open(entry) as file:
                # what a header says of the size may be wrong
                data = file.read(_LARGEST_ROI_BYTES + 1)
            if len(data) > _LARGEST_ROI_BYTES:
                raise ReadingError(f'"{entry.filename}" is larger than a ROI can be')
            yield Path(entry.filename).stem, data


def _outline(path: Path, name: str, data: bytes) -> Outline | None:
    """Return the outline of one ROI; None where it is no area."""
    from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi

    try:
        roi = ImagejRoi.frombytes(data)
        pieces = _pieces(roi)
    except Exception as error:
        raise ReadingError(
            f'ROI "{name}" of "{path.name}" is damaged ({type(error).__name__}: {error!s:.100}): '
            "save the ROIs anew in ImageJ"
        ) from error
    areas = (ROI_TYPE.POLYGON, ROI_TYPE.RECT, ROI_TYPE.OVAL, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)
    if roi.roitype not in areas or roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE):
        return None
    if not pieces:
        return None
    place = roi.t_position or roi.z_position or roi.position
    frame = place - 1 if place > 0 else None
    return Outline(pieces, roi.name or name, f"group {roi.group}" if roi.group else "", frame)


def _pieces(roi: Any) -> tuple[Piece, ...]:
    from roifile import ROI_TYPE

    if roi.multi_coordinates is not None:
        # one piece of all rings: a ring inside another is a hole
        rings = _path_rings(roi.multi_coordinates)
        return (tuple(rings),) if rings else ()
    if roi.roitype in (ROI_TYPE.RECT, ROI_TYPE.OVAL):
        ring = _box_ring(roi, round_one=roi.roitype == ROI_TYPE.OVAL)
    else:
        ring = np.asarray(roi.coordinates(), float)
    if len(ring) < 3:
        return ()
    _check(ring)
    return ((ring[:, ::-1],),)


def _check(ring: NDArray[Any]) -> None:
    if not np.isfinite(ring).all():
        raise ValueError("a corner is not a number")


def _box_ring(roi: Any, round_one: bool) -> NDArray[Any]:
    """Return the corners (x, y) of a rectangle or oval."""
    left, top, right, bottom = roi.left, roi.top, roi.right, roi.bottom
    if roi.widthd > 0 and roi.heightd > 0:
        left, top, right, bottom = roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
    if not (right > left and bottom > top):
        return np.zeros((0, 2))
    if not round_one:
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    # corners less than a pixel apart
    number = min(max(32, math.ceil(4 * (right - left + bottom - top))), 100_000)
    angle = np.linspace(0, 2 * np.pi, number, endpoint=False)
    across, along = (right - left) / 2, (bottom - top) / 2
    return np.stack(
        [left + across * (1 + np.cos(angle)), top + along * (1 + np.sin(angle))], axis=1
    )


def _path_rings(path: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the rings (row, column) of a composite selection; of a curve its end points."""
    values = np.asarray(path, float).tolist()
    rings: list[list[tuple[float, float]]] = []
    place = 0
    while place < len(values):
        kind = int(values[place])
        count = _NUMBERS_OF_SEGMENT[kind]
        numbers = values[place + 1 : place + 1 + count]
        if len(numbers) < count:
            raise ValueError("its path ends within a segment")
        if kind == int(_MOVE):
            rings.append([])
        if count:
            if not rings:
                raise ValueError("its path has no beginning")
            x, y = numbers[-2:]
            rings[-1].append((y, x))
        place += 1 + count
    made = [np.array(ring, float) for ring in rings if len(ring) > 2]
    for ring in made:
        _check(ring)
    return made


def write_rois(
    path: str | Path,
    images: Iterable[InstanceImage],
    class_names: Mapping[int, str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write the instances of an image or series as a RoiSet.zip.

    Each is a ROI with its number in its name, on its frame's slice, and in the group of its class.

    Parameters
    ----------
    path : str or Path
        .zip file.
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
    groups = {value: place for place, value in enumerate(class_names, start=1)}
    with write_aside(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        for image in images:
            for instance in each_instance(image, class_names):
                pieces = trace_pieces(instance.mask)
                kind = re.sub(r"\W+", "-", class_names[instance.value]).strip("-") or "particle"
                name = f"{kind}-{instance.number:04d}"
                if image.frame is not None:
                    name = f"frame-{image.frame + 1:04d}-{name}"
                group = groups[instance.value] if len(groups) > 1 else 0
                data = _roi(pieces, instance.origin, name, image.frame, group)
                archive.writestr(zipfile.ZipInfo(f"{name}.roi", _DATE), data, zipfile.ZIP_DEFLATED)
    return path


def _roi(
    pieces: Sequence[Piece], origin: tuple[int, int], name: str, frame: int | None, group: int
) -> bytes:
    from roifile import ROI_TYPE, ImagejRoi

    rings = [ring + origin for piece in pieces for ring in piece]
    # ImageJ's order: x, y
    points = [ring[:, ::-1].astype(np.int32) for ring in rings]
    position = {} if frame is None else {"position": frame}
    roi = ImagejRoi.frompoints(points[0], name=name, **position)
    roi.roitype = ROI_TYPE.TRACED
    if len(points) > 1:
        every = np.concatenate(points)
        (roi.left, roi.top), (roi.right, roi.bottom) = every.min(axis=0), every.max(axis=0)
        path = np.concatenate([_path(ring) for ring in points]).astype(np.float32)
        roi.roitype = ROI_TYPE.RECT
        roi.integer_coordinates = roi.subpixel_coordinates = None
        roi.n_coordinates = 0
        roi.multi_coordinates, roi.shape_roi_size = path, len(path)
    if group:
        roi.group = min(group, _LARGEST_GROUP)
        # a group has a colour of its own; the first is that of background
        color = CLASS_COLORS[group % len(CLASS_COLORS)]
        roi.stroke_color = b"\xff" + bytes.fromhex(color[1:])
    data: bytes = roi.tobytes()
    return data


def _path(ring: NDArray[Any]) -> NDArray[Any]:
    """Return a ring (x, y) as segments of a path."""
    kinds = np.full(len(ring), _LINE)
    kinds[0] = _MOVE
    return np.append(np.column_stack([kinds, ring]).ravel(), _CLOSE)
