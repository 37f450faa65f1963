"""A model card: what a run is, what it saw, how well it did, and what it cannot know."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from napari_tem_rf.measuring.finishing import nm_sentence
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.run_record import METHODS, RunRecord
from napari_tem_rf.starting import SIMULATED

__all__ = ["CITATION", "DOI", "model_card"]

DOI = "10.1017/S1431927622012466"
CITATION = (
    "K. Sytwu, C. Groschner, M. C. Scott, Understanding the Influence of Receptive Field and "
    "Network Complexity in Neural Network-Guided TEM Image Analysis, Microscopy and Microanalysis "
    "(2022)"
)
_MOST_IMAGES = 30


def model_card(record: RunRecord, weights: bytes | None = None, more: Sequence[str] = ()) -> str:
    """Return a run's card as Markdown.

    Parameters
    ----------
    record : RunRecord
    weights : bytes, optional
        The file of its weights, for their hash.
    more : sequence of str
        Paragraphs for the end: how the format that carries the card is used.
    """
    parts = [
        f"# {_title(record)}",
        _what_it_does(record),
        "## What it is",
        *_bullets(_network(record)),
        "## What it saw",
        *_bullets(_seen(record)),
        "## Validation",
        *_validation(record),
        "## Limits",
        *_bullets(_limits(record)),
        "## Where it comes from",
        *_bullets(_origin(record, weights)),
        *more,
        "## To cite",
        f"{CITATION}, doi:[{DOI}](https://doi.org/{DOI}), whose networks these are, and "
        "napari-tem-rf, which made this one.",
    ]
    return "\n\n".join(_joined(parts)) + "\n"


def _joined(parts: Sequence[str]) -> Iterator[str]:
    """Yield paragraphs; the lines of a list are one."""
    listed: list[str] = []
    for part in parts:
        if part.startswith(("- ", "| ")):
            listed.append(part)
            continue
        if listed:
            yield "\n".join(listed)
            listed = []
        yield part
    if listed:
        yield "\n".join(listed)


def _bullets(lines: Iterator[str]) -> list[str]:
    return [f"- {_plain(line)}" for line in lines]


def _plain(text: str) -> str:
    """Return a text of the record as one line that Markdown does not read as its own signs."""
    one_line = " ".join(text.split())
    return "".join(f"\\{each}" if each in "\\`*_<>[]#|" else each for each in one_line)


def _title(record: RunRecord) -> str:
    name = _plain(record.name)
    if record.spec is None:
        return f"{name}: {METHODS[record.method]}"
    return f"{name}: receptive field {receptive_field(record.spec).nominal} px"


def _what_it_does(record: RunRecord) -> str:
    classes = ", ".join(_plain(name) for name in record.classes.names[1:])
    tells = "; it tells particles that touch apart by their border" * record.parts_particles
    return (
        f"Segments micrographs of a transmission electron microscope: each pixel is background or "
        f"{classes}{tells}."
    )


def _network(record: RunRecord) -> Iterator[str]:
    if record.spec is None:
        yield f"a {METHODS[record.method]}, fitted in one go"
        return
    spec, field = record.spec, receptive_field(record.spec)
    yield f"residual U-Net of the family of Sytwu, Groschner and Scott (2022): {spec}"
    yield f"{spec.parameters:,} trainable parameters"
    size = record.cleaning.pixel_size_nm(record.pixel_size_nm)
    nm = "" if size is None else f" = {field.nominal * (size[0] * size[1]) ** 0.5:.3g} nm"
    yield (
        f"receptive field {field.nominal} px{nm} nominally; exactly {field.smallest} to "
        f"{field.largest} px, by the place of the pixel"
    )
    yield f"period {field.period} px: images are best cut at its multiples"
    yield f"halo {field.halo} px: so much context a tile needs on each side to be exact"


def _seen(record: RunRecord) -> Iterator[str]:
    size = record.pixel_size_nm
    if size is None:
        yield "pixel size: not known"
    else:
        yield f"pixel size: {size[0]:.4g} x {size[1]:.4g} nm (row x column)"
    done = record.cleaning.sentence
    cleaned = "" if done == "nothing" else f"{done}; "
    yield f"before it sees an image: {cleaned}{record.normalisation}"
    if record.adopted is not None:
        yield "its images are not known to this program: it was trained elsewhere"
        return
    images = [f"{each.name} ({each.shape[0]} x {each.shape[1]} px)" for each in record.data]
    more = len(images) - _MOST_IMAGES
    listed = ", ".join(images[:_MOST_IMAGES]) + (f" and {more:,} more" if more > 0 else "")
    yield f"{len(images):,} annotated image{'s' * (len(images) != 1)}: {listed}"
    meant = {"ignore": "strokes (0: not annotated)", "background": "masks (0: background)"}
    numbered = "numbered particles" if record.labels_are == "particles" else "classes"
    yield f"annotation: {numbered}, {meant[record.unlabelled]}"
    named = zip(record.classes.names, record.classes.prediction_values, strict=True)
    yield f"classes, and their values in masks: {', '.join(f'{n} {v}' for n, v in named)}"
    if record.start == SIMULATED:
        yield "it began with weights that had seen simulated micrographs"
    elif record.start is not None:
        yield "it began with the weights of another run"
    if record.plan.frozen != "nothing" and record.start is not None:
        yield f"the {record.plan.frozen} kept the weights that it began with"
    if record.spec is not None:
        yield (
            f"{record.epochs:,} epochs, {record.steps:,} steps, {record.seconds:,.0f} s, seed "
            f"{record.plan.seed}, recipe {record.plan.preset}"
        )


def _validation(record: RunRecord) -> list[str]:
    split = _plain(str(record.split.get("sentence") or ""))
    dice = record.validation_dice
    if dice is None:
        why = split or "nothing was held out"
        return [f"It has no score: {why}. Evaluate its masks on images of your own before use."]
    scored = record.split.get("scored") or "pixels"
    lines = [f"Dice {dice:.3f} on held-out {scored}. {_sentence(split)}"]
    each = [image for image in record.scores.get("images", []) if image.get("dice") is not None]
    values = np.array([image["dice"] for image in each])
    if len(values) > 1:
        lines[0] += (
            f" Over the {len(values)} images it is from {values.min():.3f} to "
            f"{values.max():.3f}, with a standard deviation of {values.std(ddof=1):.3f}."
        )
        lines += ["| image | Dice |", "| --- | --- |"]
        lines += [f"| {_plain(i['name'])} | {i['dice']:.3f} |" for i in each[:_MOST_IMAGES]]
    if scored == "strokes":
        lines.append(
            "Strokes lie where the answer is easy to see: the number says that they were learned, "
            "and nothing of the outlines of particles."
        )
    lines.append("One training with one seed: what another seed gives is not in these numbers.")
    return lines


def _sentence(text: str) -> str:
    return "" if not text else f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _limits(record: RunRecord) -> Iterator[str]:
    if record.pixel_size_nm is not None:
        yield (
            "it knows particles by their size in pixels: show it images of its own pixel size, or "
            "resample them to it"
        )
    else:
        yield "it knows particles by their size in pixels, and its own pixel size is not known"
    yield (
        "networks of this kind do not carry over by themselves to another magnification, dose, "
        "defocus, support or material: look at the masks, and annotate a few images of the new kind"
    )
    if record.spec is not None:
        field = receptive_field(record.spec)
        yield (
            f"what lies further than its field ({field.largest} px) from a pixel cannot help to "
            "decide it"
        )
    if record.state == "training":
        yield "its training was broken off before its end"
    finishing = record.finishing
    nm = nm_sentence(finishing, record.pixel_size_nm)
    yield f"masks: {finishing.sentence}{f' ({nm})' if nm else ''}"


def _origin(record: RunRecord, weights: bytes | None) -> Iterator[str]:
    if record.adopted is not None:
        adopted = record.adopted
        yield f"adopted from {adopted.file} (SHA-256 {adopted.sha256})"
        if adopted.source:
            yield f"published by: {adopted.source}"
        yield f"licence: {adopted.licence or 'not known'}"
        yield f"its normalisation, as told: {adopted.normalisation}"
    if record.created:
        yield f"made at {record.created}"
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    if versions:
        yield f"with {versions}"
    if weights is not None:
        yield f"SHA-256 of weights.safetensors: {hashlib.sha256(weights).hexdigest()}"
