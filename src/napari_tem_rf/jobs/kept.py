"""What a run keeps of the images that it learned from: their names and hashes, and the labels."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.runs import DataEntry, array_hash

__all__ = ["common_pixel_size", "data_entries", "kept_labels"]


def data_entries(
    images: Sequence[LabelledImage], sources: Mapping[str, str], label_sources: Mapping[str, str]
) -> tuple[DataEntry, ...]:
    """Return the entries of a record; ``sources`` are files of images and of labels, by name."""
    return tuple(
        DataEntry(
            name=image.name,
            group=image.group or image.name,
            shape=(image.pixels.shape[0], image.pixels.shape[1]),
            pixels_sha256=array_hash(image.pixels),
            labels_sha256=array_hash(image.labels),
            annotation=_annotation_file(number, len(images)),
            pixel_size_nm=image.pixel_size_nm,
            source=sources.get(image.name),
            labels_source=label_sources.get(image.name),
            counted=None if image.counted is None else _counted_file(number),
        )
        for number, image in enumerate(images, start=1)
    )


def common_pixel_size(images: Sequence[LabelledImage]) -> tuple[float, float] | None:
    """Return the pixel size that a record names: that of the first image that has one."""
    return next((i.pixel_size_nm for i in images if i.pixel_size_nm is not None), None)


def kept_labels(images: Sequence[LabelledImage]) -> dict[str, NDArray[Any]]:
    """Return the labels that a run keeps, and the pixels that count in them, by file."""
    kept = {}
    for number, image in enumerate(images, start=1):
        kept[_annotation_file(number, len(images))] = image.labels
        if image.counted is not None:
            kept[_counted_file(number)] = image.counted
    return kept


def _annotation_file(number: int, images: int) -> str:
    return "annotation.ome.tif" if images == 1 else f"annotation_{number:04d}.ome.tif"


def _counted_file(number: int) -> str:
    return f"counted_{number:04d}.tif"
