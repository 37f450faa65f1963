"""The sets of images, and which of them are left out in each split."""

import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from napari_tem_rf import read_labels, read_micrographs
from napari_tem_rf.measuring.contrast import amplitude_contrast
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.cleaning import standardise
from napari_tem_rf.micrographs.resampling import resample_image, resample_labels

REGISTRY = Path(__file__).parents[1] / "public_data.json"

SPLITS = 3
FEW_GROUPS = 20
GRAPHENE_PLANES_NM = 0.2130
"""Spacing of the {100} planes of graphene (lattice constant 0.246 nm), of which the images show
4.9 px: so their pixel size follows, which no file says."""
GRAPHENE_PERIOD_PX = 4.9

LOOPS_MARGIN_PX = 64
"""What does not teach beside a column that is left out: the largest loop is 58 px across."""
LOOPS_SPLITS = {"column0": 0, "column1": 1, "column3": 2}
"""The split that leaves out a column; with one of four left out there is one to stop by."""


@dataclass(frozen=True, slots=True)
class SetKind:
    """A set of images, before it is read.

    Attributes
    ----------
    name : str
    words : str
        What it is, in a table.
    shown_by : str
        What shows the particles.
    folder : str
        Folder of it, in that of the public sets or of the simulated ones.
    is_public : bool
        Whether it is downloaded; others are simulated for the study.
    pixel_nm : float, optional
        Side of a pixel in nm where no file says it.
    """

    name: str
    words: str
    shown_by: str
    folder: str
    is_public: bool = True
    pixel_nm: float | None = None


KINDS = {
    kind.name: kind
    for kind in (
        SetKind(
            "graphene-hrtem", "public HRTEM images of graphene with contamination",
            "phase contrast", "graphene-hrtem",
            pixel_nm=GRAPHENE_PLANES_NM / GRAPHENE_PERIOD_PX,
        ),
        SetKind(
            "nanoparticles-bf", "public bright-field frames of nanoparticles",
            "amplitude contrast", "nanoparticles-bf",
        ),
        SetKind(
            "dislocation-loops", "public bright-field tiles of an irradiated metal",
            "diffraction contrast, weak", "dislocation-loops", pixel_nm=200 / 512,
        ),
        SetKind(
            "simulated-hr", "simulated gold particles at high resolution",
            "lattice fringes, amplitude contrast varied", "high_resolution", is_public=False,
        ),
        SetKind(
            "simulated-lm", "simulated gold particles at low magnification",
            "amplitude contrast", "low_magnification", is_public=False,
        ),
    )
}  # fmt: skip


def digest(values: np.ndarray) -> str:
    """Return the hash of an array's shape and bytes, as the registry has it."""
    data = np.ascontiguousarray(values).tobytes()
    return hashlib.sha256(str(values.shape).encode() + data).hexdigest()


def is_there(name: str, data: Path, simulated: Path) -> bool:
    """Return whether a set can be read; a simulated one only once it is complete."""
    kind = KINDS[name]
    if not kind.is_public:
        parameters = simulated / "parameters.json"
        return parameters.is_file() and kind.folder in json.loads(parameters.read_text())
    return (data / kind.folder / "images").is_dir()


@lru_cache(maxsize=2)
def read_set(name: str, data: Path, simulated: Path) -> tuple[LabelledImage, ...]:
    """Return the images of a set with their masks; the group is what is left out together.

    Raises
    ------
    ValueError
        When an image is not the one that the study is about.
    """
    kind = KINDS[name]
    if not kind.is_public:
        return _simulated(kind, simulated)
    known = json.loads(REGISTRY.read_text()).get(name)
    hashes = {} if known is None else {entry["name"]: entry for entry in known["images"]}
    size = None if kind.pixel_nm is None else (kind.pixel_nm, kind.pixel_nm)
    images = []
    for path in sorted((data / kind.folder / "images").glob("*.png")):
        (micrograph,) = read_micrographs(path)
        pixels = micrograph.frame()
        mask = (read_labels(data / kind.folder / "labels" / path.name) > 0).astype(np.uint8)
        if hashes:
            entry = hashes.get(path.stem, {"pixels_sha256": "", "mask_sha256": ""})
            same = digest(pixels) == entry["pixels_sha256"]
            if not same or digest(mask > 0) != entry["mask_sha256"]:
                raise ValueError(f'"{path}" or its labels are not those that the study is about')
        images.append(LabelledImage(path.stem, pixels, mask, size, _group(name, path.stem)))
    if hashes and len(images) != len(hashes):
        raise ValueError(f"{name} has {len(images)} images and not {len(hashes)}: get all of them")
    return tuple(images)


def _group(name: str, stem: str) -> str:
    if name == "dislocation-loops":
        return stem.rpartition("_")[2]
    return re.sub(r"_layer_\d+$", "", stem)


def _simulated(kind: SetKind, simulated: Path) -> tuple[LabelledImage, ...]:
    rows = json.loads((simulated / "parameters.json").read_text())[kind.folder]
    images = []
    for row in rows:
        folder = simulated / kind.folder
        (micrograph,) = read_micrographs(folder / "images" / f"{row['name']}.tif")
        mask = read_labels(folder / "labels" / f"{row['name']}.tif").astype(np.uint8)
        # images of one specimen share their particles
        group = f"specimen {row['specimen']}"
        images.append(
            LabelledImage(row["name"], micrograph.frame(), mask, micrograph.pixel_size_nm, group)
        )
    return tuple(images)


def splits_of(name: str, images: Iterable[LabelledImage]) -> dict[str, int | None]:
    """Return the split in which each group is scored; None where it is never.

    Groups are drawn by a hash of their names, so that others do not move when one is added; few
    groups are dealt out in turn, so that every split has its share.
    """
    groups = {image.group for image in images}
    if name == "dislocation-loops":
        return {group: LOOPS_SPLITS.get(group) for group in groups}
    drawn = {group: zlib.crc32(f"{name} {group}".encode()) for group in groups}
    if len(groups) < FEW_GROUPS:
        drawn = {group: place for place, group in enumerate(sorted(groups, key=drawn.__getitem__))}
    return {group: number % SPLITS for group, number in drawn.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What teaches, what says when to stop, and what is scored."""

    training: tuple[LabelledImage, ...]
    stopping: tuple[LabelledImage, ...]
    scored: tuple[LabelledImage, ...]


def parts_of(
    name: str, images: tuple[LabelledImage, ...], split: int, seed: int, stopping: float = 0.2
) -> Parts:
    """Return the parts of a set: the same for all that is compared.

    Parameters
    ----------
    name : str
        Of the set.
    images : tuple of LabelledImage
    split : int
        Which third of the groups is scored.
    seed : int
        It draws the groups that say when to stop.
    stopping : float
        Part of the other groups that says when to stop.
    """
    splits = splits_of(name, images)
    scored = tuple(image for image in images if splits[image.group] == split)
    rest = [image for image in images if splits[image.group] != split]
    if name == "dislocation-loops":
        rest = [_beside(image, {each.group for each in scored}) for image in rest]
    groups = sorted({image.group for image in rest if image.labels.any()})
    if stopping <= 0:
        return Parts(tuple(rest), (), scored)
    number = max(1, round(stopping * len(groups)))
    held = set(np.random.default_rng([seed, split]).permutation(groups)[:number].tolist())
    return Parts(
        tuple(image for image in rest if image.group not in held),
        tuple(image for image in rest if image.group in held),
        scored,
    )


def _beside(image: LabelledImage, left_out: set[str]) -> LabelledImage:
    """Return a tile of a frame without what lies at the border of a column that is left out."""
    column = int(image.group.removeprefix("column"))
    counted = np.ones(image.pixels.shape, bool)
    if f"column{column - 1}" in left_out:
        counted[:, :LOOPS_MARGIN_PX] = False
    if f"column{column + 1}" in left_out:
        counted[:, -LOOPS_MARGIN_PX:] = False
    return LabelledImage(
        image.name, image.pixels, image.labels, image.pixel_size_nm, image.group, counted
    )


def at_scale(image: LabelledImage, scale: float) -> LabelledImage:
    """Return an image whose pixels are so many times as large, standardised."""
    if scale == 1:
        return image
    rows, columns = (max(16, round(side / scale)) for side in image.pixels.shape)
    shape = (rows, columns)
    size = image.pixel_size_nm
    return LabelledImage(
        image.name,
        resample_image(standardise(image.pixels), shape),
        resample_labels(image.labels, shape),
        None if size is None else (size[0] * scale, size[1] * scale),
        image.group,
        None if image.counted is None else resample_labels(image.counted, shape).astype(bool),
    )


def contrast_of(image: LabelledImage) -> float | None:
    """Return the amplitude contrast of an image in sigma, without its sign; None without any."""
    found = amplitude_contrast(image.pixels, image.labels)
    return abs(found[0].sigma) if found else None
