"""Training set -> batches of crops with true context, augmented."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from napari_tem_rf.micrographs.annotation import NOT_ANNOTATED, AnnotatedImage, TrainingSet
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.rounding import ceil_div, round_up
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan

FEWEST_STEPS, MOST_STEPS = 25, 250
"""Steps an epoch, at least and at most."""

PAPER_FEWEST_PARTICLE_PX = 400
"""The paper drops patches with at most this many particle px."""

SMALLEST_CROP_PX, LARGEST_CROP_PX = 128, 384
"""Side of a crop that follows the field: many small crops teach more than a few large ones."""

FIELDS_PER_CROP = 1.0
"""Side of a crop in nominal receptive fields, between these limits."""

VARIED_CROPS = 0.5
"""Share of the crops whose slow changes are varied, where they are."""

SLOW_PX = (3.0, 12.0)
"""Standard deviations in px beyond which changes are slow: above a lattice, below a particle."""

BORDER_CROPS = 0.25
"""Share of the crops whose cut edges stand for the border of an image."""

PX_PER_STEP = 8 * 128 * 128
FEWEST_CROPS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Crops and their labels.

    Attributes
    ----------
    images : ndarray of float32, shape (crop, 1, row, column)
    labels : ndarray of int64, shape (crop, row, column)
        Class index, -1 where the pixel does not count.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CropGeometry:
    """Shape of a crop, and how much of it is context at a cut edge; all in px."""

    rows: int
    columns: int
    context: int

    @classmethod
    def of(cls, spec: NetworkSpec, plan: TrainingPlan, images: tuple[AnnotatedImage, ...]) -> Any:
        """Return the geometry for a network and a set of images.

        The context is the halo, but at most an eighth of the crop: beyond it the little that a
        pixel still sees does not pay for the pixels that would not count.
        """
        period, field = spec.period, receptive_field(spec)
        fitting = round(FIELDS_PER_CROP * field.nominal)
        side = plan.crop_px or int(np.clip(fitting, SMALLEST_CROP_PX, LARGEST_CROP_PX))
        rows, columns = (
            round_up(min(side, max(image.pixels.shape[axis] for image in images)), period)
            for axis in (0, 1)
        )
        if plan.preset == "sytwu2022":
            rows = columns = max(rows, columns)  # only a square has the paper's 8 copies
        halo = field.halo if plan.true_context else 0
        return cls(rows, columns, min(halo, min(rows, columns) // 8))

    @property
    def crops_per_step(self) -> int:
        """How many crops make a step of the usual number of pixels."""
        return max(FEWEST_CROPS, round(PX_PER_STEP / (self.rows * self.columns)))


class CropSampler:
    """Draws batches; everything random comes from one generator, so that it can be resumed.

    Parameters
    ----------
    data : TrainingSet
        What to draw from; every image needs an annotated pixel.
    spec, plan : NetworkSpec, TrainingPlan
        Shape and number of the crops, and their augmentation.
    rng : numpy.random.Generator
        Source of all randomness; its state is the sampler's state.
    """

    def __init__(
        self, data: TrainingSet, spec: NetworkSpec, plan: TrainingPlan, rng: np.random.Generator
    ) -> None:
        self.plan = plan
        self.rng = rng
        self.images = tuple(image for image in data.images if (image.labels >= 0).any())
        self.geometry: CropGeometry = CropGeometry.of(spec, plan, self.images)
        self.places = [_Places(image.labels, data.learned) for image in self.images]
        self.annotated = np.array([places.total for places in self.places], float)
        self.counts = np.sum([places.counts for places in self.places], axis=0)
        self.sparse = data.is_sparse
        self.batch = plan.batch or self.geometry.crops_per_step
        crop_px = self.geometry.rows * self.geometry.columns
        pixels = sum(image.pixels.size for image in self.images)
        if plan.preset == "sytwu2022":
            self.grid = self._paper_patches()
            self.steps_per_epoch = max(1, ceil_div(8 * len(self.grid), self.batch))
        else:
            steps = ceil_div(pixels, self.batch * crop_px)
            self.steps_per_epoch = int(np.clip(steps, FEWEST_STEPS, MOST_STEPS))

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        if self.plan.preset == "sytwu2022":
            yield from self._paper_epoch()
            return
        for _ in range(self.steps_per_epoch):
            yield self._stack([self._draw() for _ in range(self.batch)])

    def _draw(self) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
        rng, geometry = self.rng, self.geometry
        # Half of the crops follow the annotated area, half visit the classes in turn: a class
        # of few pixels is seen often, and its surroundings keep their true share.
        if rng.random() < 0.5:
            index = int(rng.choice(len(self.images), p=self.annotated / self.annotated.sum()))
            row, column = self.places[index].any(rng)
        else:
            present = np.flatnonzero(self.counts)
            wanted = int(rng.choice(present))
            holders = [i for i, places in enumerate(self.places) if places.counts[wanted]]
            index = int(rng.choice(holders))
            row, column = self.places[index].of_class(wanted, rng)
        if geometry.context and rng.random() < BORDER_CROPS:
            # beyond them is zero as beyond an image: so strokes inside teach that too
            geometry = replace(geometry, context=0)
        shape = self.images[index].pixels.shape
        start = [
            _start(at, length, side, geometry.context, rng)
            for at, length, side in zip(
                (row, column), shape, (geometry.rows, geometry.columns), strict=True
            )
        ]
        pixels, labels = cut(self.images[index], start[0], start[1], geometry)
        if self.plan.grey_levels == "varied":
            pixels = vary_grey_levels(pixels, rng)
        return augment(pixels, labels, self.plan.augmentation, rng)

    def _stack(self, crops: list[tuple[NDArray[np.float32], NDArray[np.int16]]]) -> Batch:
        images = np.stack([pixels for pixels, _ in crops])[:, None]  # (crop, 1, row, column)
        labels = np.stack([labels for _, labels in crops]).astype(np.int64)
        return Batch(np.ascontiguousarray(images), labels)

    def _paper_patches(self) -> list[tuple[int, int, int]]:
        """Return (image, row, column) of the paper's patches: a grid without nearly empty ones."""
        patches = []
        for index, image in enumerate(self.images):
            for row in range(0, image.pixels.shape[0], self.geometry.rows):
                for column in range(0, image.pixels.shape[1], self.geometry.columns):
                    patches.append((index, row, column))
        full = [
            (index, row, column)
            for index, row, column in patches
            if (cut(self.images[index], row, column, self.geometry)[1] > 0).sum()
            > PAPER_FEWEST_PARTICLE_PX
        ]
        return full or patches

    def _paper_epoch(self) -> Iterator[Batch]:
        order = self.rng.permutation(8 * len(self.grid))
        for first in range(0, len(order), self.batch):
            crops = []
            for number in order[first : first + self.batch]:
                patch, symmetry = divmod(int(number), 8)
                index, row, column = self.grid[patch]
                pixels, labels = cut(self.images[index], row, column, self.geometry)
                crops.append((turn(pixels, symmetry), turn(labels, symmetry)))
            yield self._stack(crops)


def ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the batches, each drawn in another thread while the one before is worked with."""
    with ThreadPoolExecutor(1, "crops") as drawer:
        coming = drawer.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = drawer.submit(next, batches, None)
            yield batch


class _Places:
    """The annotated pixels of one image, sorted by class, to draw from."""

    def __init__(self, labels: NDArray[np.int16], classes: int) -> None:
        flat = labels.ravel()
        order = np.argsort(flat, kind="stable")
        self.counts = np.bincount(flat[flat >= 0], minlength=classes)
        self.total = int(self.counts.sum())
        self.pixels = order[flat.size - self.total :].astype(np.int32)
        self.columns = labels.shape[1]
        self.ends = np.cumsum(self.counts)

    def any(self, rng: np.random.Generator) -> tuple[int, int]:
        return self._at(int(rng.integers(self.total)))

    def of_class(self, index: int, rng: np.random.Generator) -> tuple[int, int]:
        end = int(self.ends[index])
        return self._at(end - 1 - int(rng.integers(int(self.counts[index]))))

    def _at(self, place: int) -> tuple[int, int]:
        row, column = divmod(int(self.pixels[place]), self.columns)
        return row, column


def _start(at: int, length: int, side: int, context: int, rng: np.random.Generator) -> int:
    """Return where a crop starts so that the pixel ``at`` counts: not in the context."""
    first = at - side + 1 + context
    start = int(rng.integers(first, at - context + 1))
    return int(np.clip(start, 0, max(0, length - side)))


def cut(
    image: AnnotatedImage, row: int, column: int, geometry: CropGeometry
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Return pixels and labels of the crop that starts at (row, column).

    Pixels nearer than the context to a cut edge do not count (label -1). The image's own border
    is true: no context is lost there. What lies beyond the image is zero and does not count.
    """
    shape = (geometry.rows, geometry.columns)
    window = (slice(row, row + shape[0]), slice(column, column + shape[1]))
    pixels, labels = image.pixels[window], image.labels[window].copy()
    if geometry.context:
        context = geometry.context
        if row > 0:
            labels[:context] = NOT_ANNOTATED
        if column > 0:
            labels[:, :context] = NOT_ANNOTATED
        if row + shape[0] < image.pixels.shape[0]:
            labels[-context:] = NOT_ANNOTATED
        if column + shape[1] < image.pixels.shape[1]:
            labels[:, -context:] = NOT_ANNOTATED
    if pixels.shape != shape:
        fill = [(0, side - got) for side, got in zip(shape, pixels.shape, strict=True)]
        pixels = np.pad(pixels, fill)
        labels = np.pad(labels, fill, constant_values=NOT_ANNOTATED)
    return pixels, labels


def turn(values: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """Return one of the 8 symmetries of the square (0 to 7) of an array (row, column)."""
    turned = np.rot90(values, symmetry % 4)
    return turned[:, ::-1] if symmetry >= 4 else turned


def vary_grey_levels(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a crop whose slow changes count for -1 to 1 times what they did; every other crop.

    How dark a particle is beside its surroundings then says nothing that holds from crop to crop;
    a lattice, which is faster than what is changed, says the same in all of them.
    """
    if rng.random() < VARIED_CROPS:
        sigma = np.exp(rng.uniform(*np.log(SLOW_PX)))
        width = round(np.sqrt(6 * sigma**2 + 1))  # two boxes of this width spread as far
        slow = uniform_filter(uniform_filter(pixels, width), width)
        pixels = pixels + np.float32(rng.uniform(-1, 1) - 1) * slow
    return pixels


def augment(
    pixels: NDArray[np.float32],
    labels: NDArray[np.int16],
    how: str,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Return a crop under a random symmetry and, with "full", another contrast and noise."""
    if how == "none":
        return pixels, labels
    symmetry = int(rng.integers(8))
    if pixels.shape[0] != pixels.shape[1]:
        symmetry -= symmetry % 2  # a quarter turn would change the crop's shape
    pixels, labels = turn(pixels, symmetry), turn(labels, symmetry)
    if how == "full":
        gain, offset = np.exp(rng.normal(0, 0.15)), rng.normal(0, 0.15)
        pixels = pixels * np.float32(gain) + np.float32(offset)
        kind = rng.random()
        if kind < 0.15:
            pixels = gaussian_filter(pixels, rng.uniform(0.3, 0.9))
        elif kind < 0.5:
            noise = rng.standard_normal(pixels.shape, dtype=np.float32)
            pixels = pixels + np.float32(rng.uniform(0, 0.3)) * noise
    return pixels, labels
