"""Images and labels named on the command line -> micrographs, matched by name."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

from napari_tem_rf.micrographs.annotation import LabelledImage, shape_text
from napari_tem_rf.micrographs.grouping import groups_of
from napari_tem_rf.micrographs.label_meaning import (
    LabelMeaning,
    count_labels,
    find_meaning,
    meaning_of,
)
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.outline_files import OutlineFile, holds_outlines, read_outlines
from napari_tem_rf.micrographs.outlines import Legend, legend_of
from napari_tem_rf.micrographs.reading import (
    LabelFrames,
    find_images,
    image_name,
    open_labels,
    read_micrographs,
)
from napari_tem_rf.protocol import LabelsAre, Unlabelled
from napari_tem_rf.provenance import read_provenance

_PLANES_LOOKED_AT = 8


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
    labels_are : {"auto", "classes", "particles"}
        What values are, where the files say it: all of them outlines.
    unlabelled : {"ignore", "background"}, optional
        What zeros are, where the files say it.
    class_names : dict of int to str
        Names of values, where the files have them.
    """

    images: tuple[LabelledImage, ...]
    sources: dict[str, str]
    label_sources: dict[str, str]
    notes: tuple[str, ...]
    labels_are: LabelsAre = "auto"
    unlabelled: Unlabelled | None = None
    class_names: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels by name: masks, or outlines that are drawn on the grid of their image.

    Attributes
    ----------
    files : dict of str to Path
    outlines : dict of str to OutlineFile
        Those of the files that are outlines.
    legend : Legend
        Which labels the outlines become, in all of them alike.
    """

    files: Mapping[str, Path]
    outlines: Mapping[str, OutlineFile]
    legend: Legend

    @classmethod
    def of(cls, files: Mapping[str, Path]) -> "Labels":
        """Return labels of files, the outlines among them read."""
        outlines = {
            name: read_outlines(path) for name, path in files.items() if holds_outlines(path)
        }
        legend = legend_of(each for file in outlines.values() for each in file.outlines)
        return cls(files, outlines, legend)

    @property
    def are_all_outlines(self) -> bool:
        """Whether there is no mask among them."""
        return len(self.outlines) == len(self.files) > 0

    def open(self, name: str, shape: tuple[int, ...]) -> tuple[LabelFrames, tuple[str, ...]]:
        """Return the labels of an image of a shape, and sentences for the user."""
        drawn = self.outlines.get(name)
        if drawn is None:
            return open_labels(self.files[name]), ()
        labels, notes = drawn.labels(shape, self.legend)
        return LabelFrames(shape, lambda i: labels if labels.ndim == 2 else labels[i]), notes


def named_files(paths: Sequence[Path], *, outlines: bool = False) -> dict[str, Path]:
    """Return the readable files by name without ending, folders expanded.

    Parameters
    ----------
    paths : sequence of Path
    outlines : bool
        Take a folder's files of outlines too.

    Raises
    ------
    ValueError
        When two files have the same name: labels and predictions are matched by it.
    """
    named: dict[str, Path] = {}
    for path in find_images(paths, outlines=outlines):
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
    image_files, label_files = named_files(images), named_files(labels, outlines=True)
    label_files = _alone(image_files, label_files)
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
    given = Labels.of({name: label_files[name] for name in matched})
    found: list[LabelledImage] = []
    sources, label_sources = {}, {}
    for name in matched:
        micrograph, *others = read_sized(image_files[name], pixel_size)
        notes += [f"{name}: {note}" for note in micrograph.notes]
        if others:
            notes.append(f'of the {len(others) + 1} images of "{name}" the first is trained from')
        opened, said = given.open(name, tuple(map(int, micrograph.pixels.shape)))
        notes += said
        for image in _labelled(name, micrograph, opened, label_files[name], groups[name]):
            found.append(image)
            sources[image.name] = str(image_files[name].resolve())
            label_sources[image.name] = str(label_files[name].resolve())
    files = LabelledFiles(tuple(found), sources, label_sources, tuple(notes))
    if not given.are_all_outlines:
        return files
    legend = given.legend
    return replace(
        files,
        labels_are="particles" if legend.numbered else "classes",
        unlabelled=legend.unlabelled,
        class_names=legend.names,
    )


def _alone(images: dict[str, Path], labels: dict[str, Path]) -> dict[str, Path]:
    """Return the labels by name; outlines and an image that are alone belong together.

    ImageJ calls all its files RoiSet.zip.
    """
    if len(images) == len(labels) == 1 and not images.keys() & labels.keys():
        (image,), (path,) = images, labels.values()
        if holds_outlines(path):
            return {image: path}
    return labels


def meaning_in(files: LabelledFiles, unlabelled: str | None, labels_are: str) -> LabelMeaning:
    """Return what the labels of files mean, all together."""
    return find_meaning(
        [image.labels for image in files.images],
        unlabelled or files.unlabelled,  # type: ignore[arg-type]
        files.labels_are if labels_are == "auto" else labels_are,  # type: ignore[arg-type]
    )


def meaning_of_masks(masks: Mapping[Path, LabelFrames], labels_are: str = "auto") -> LabelMeaning:
    """Return what the labels of mask files mean, all together.

    The record beside a file may say that they are numbered particles: few numbers look like
    classes.
    """
    counts: Counter[int] = Counter()
    for labels in masks.values():
        for plane in labels:
            counts.update(count_labels(plane))
    if labels_are == "auto" and all(
        (read_provenance(path) or {}).get("instances") for path in masks
    ):
        found = meaning_of(counts, "background", "particles")
        return found.as_particles("are numbered particles, as the record beside them says")
    meaning = meaning_of(counts, "background", labels_are)  # type: ignore[arg-type]
    if meaning.kind != "classes":
        return meaning
    planes = (plane for plane in chain.from_iterable(masks.values()) if plane.any())
    some = list(islice(planes, _PLANES_LOOKED_AT))
    return find_meaning(some, "background", labels_are, counts)  # type: ignore[arg-type]


def _labelled(
    name: str, micrograph: Micrograph, labels: LabelFrames, label_file: Path, group: str
) -> Iterator[LabelledImage]:
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
