"""Images and labels named on the command line -> micrographs, matched by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_tem_rf.micrographs.annotation import LabelledImage, shape_text
from napari_tem_rf.micrographs.grouping import groups_of
from napari_tem_rf.micrographs.label_meaning import LabelMeaning, find_meaning
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.reading import (
    find_images,
    image_name,
    open_labels,
    read_micrographs,
)


@dataclass(frozen=True, slots=True)
class LabelledFiles:
    """Images with their labels, and where both came from.

    Attributes
    ----------
    images : tuple of LabelledImage
        One entry a frame.
    sources, label_sources : dict of str to str
        Absolute path of each image's file and of its labels, by image name.
    notes : tuple of str
        Sentences for the user.
    """

    images: tuple[LabelledImage, ...]
    sources: dict[str, str]
    label_sources: dict[str, str]
    notes: tuple[str, ...]


def named_files(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the readable files by name without ending, folders expanded.

    Raises
    ------
    ValueError
        When two files have the same name: labels and predictions are matched by it.
    """
    named: dict[str, Path] = {}
    for path in find_images(paths):
        name = image_name(path)
        if name in named and named[name] != path:
            raise ValueError(
                f'"{named[name]}" and "{path}" have the same name "{name}": images, labels and '
                "predictions are matched by it; rename one"
            )
        named[name] = path
    if not named:
        raise ValueError(f"no image found in {', '.join(map(str, paths))}: check the paths")
    return named


def named_masks(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the masks among readable files, by name: all but the probabilities beside them."""
    files = named_files(paths)
    named = {name: path for name, path in files.items() if not name.endswith("_probabilities")}
    if not named:
        raise ValueError(
            f"only probabilities are found in {', '.join(map(str, paths))}: give masks, which "
            "lie beside them"
        )
    return named


def read_sized(path: Path, pixel_size: float | None) -> tuple[Micrograph, ...]:
    """Return the micrographs of a file, with the given pixel size in nm where one is given."""
    micrographs = read_micrographs(path)
    if pixel_size is None:
        return micrographs
    return tuple(replace(each, pixel_size_nm=(pixel_size, pixel_size)) for each in micrographs)


def read_labelled(
    images: Sequence[Path],
    labels: Sequence[Path],
    pixel_size: float | None = None,
    group_by: str | None = None,
) -> LabelledFiles:
    """Read images and the labels of the same names.

    Raises
    ------
    ValueError
        When no name matches, or shapes differ.
    """
    image_files, label_files = named_files(images), named_files(labels)
    matched = sorted(image_files.keys() & label_files.keys())
    if not matched:
        raise ValueError(
            f"no labels have the name of an image: images are {_some(image_files)}, labels are "
            f"{_some(label_files)}; name each labels file like its image"
        )
    notes = []
    if missing := image_files.keys() - label_files.keys():
        notes.append(f"{len(missing)} images without labels are left out: {_some(missing)}")
    if lonely := label_files.keys() - image_files.keys():
        notes.append(f"{len(lonely)} labels without an image are left out: {_some(lonely)}")
    groups = groups_of(matched, group_by)
    found: list[LabelledImage] = []
    sources, label_sources = {}, {}
    for name in matched:
        micrograph, *others = read_sized(image_files[name], pixel_size)
        notes += [f"{name}: {note}" for note in micrograph.notes]
        if others:
            notes.append(f'of the {len(others) + 1} images of "{name}" the first is trained from')
        for image in _labelled(name, micrograph, label_files[name], groups[name]):
            found.append(image)
            sources[image.name] = str(image_files[name].resolve())
            label_sources[image.name] = str(label_files[name].resolve())
    return LabelledFiles(tuple(found), sources, label_sources, tuple(notes))


def meaning_in(files: LabelledFiles, unlabelled: str | None, labels_are: str) -> LabelMeaning:
    """Return what the labels of files mean, all together."""
    return find_meaning(
        [image.labels for image in files.images],
        unlabelled,  # type: ignore[arg-type]
        labels_are,  # type: ignore[arg-type]
    )


def _labelled(
    name: str, micrograph: Micrograph, label_file: Path, group: str
) -> Iterator[LabelledImage]:
    labels = open_labels(label_file)
    if labels.shape != tuple(micrograph.pixels.shape):
        raise ValueError(
            f'labels "{label_file}" are {shape_text(labels.shape)} but image '
            f'"{micrograph.source}" is '
            f"{shape_text(micrograph.pixels.shape)}: labels need the image's own rows and columns"
        )
    if len(labels.shape) == 2:
        yield LabelledImage(
            name,
            micrograph.frame(),
            labels.read(0),
            micrograph.pixel_size_nm,
            group,
            dose=micrograph.dose,
        )
        return
    for index, frame_labels in enumerate(labels):
        if frame_labels.any():
            yield LabelledImage(
                f"{name}[{index}]",
                micrograph.frame(index),
                frame_labels,
                micrograph.pixel_size_nm,
                group,
                dose=micrograph.dose,
            )


def _some(names: Sequence[str] | set[str] | dict[str, Path], most: int = 3) -> str:
    listed = sorted(names)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest
