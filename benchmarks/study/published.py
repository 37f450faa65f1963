"""Networks of the family that others trained: what they see, and what they score without a stroke.

The folder holds safetensors and ``networks.json``, which says spec, pixel size and source of each.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_tem_rf.jobs import AdoptRequest, adopt_weights
from napari_tem_rf.learning.fast.network import accelerated
from napari_tem_rf.learning.network import network_of, random_network
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.resampling import resample_labels
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.runs import read_run
from napari_tem_rf.storage import write_text
from study.sets import KINDS, is_there, read_set
from study.tables import Found
from study.working import Place, about, as_seen, score_of, widths

MOST_RATIO = 4.0
"""Where pixels are so many times as large as those trained on, nothing that a network looks for is
left in them: such a set is not resampled."""
MOST_IMAGES = 16
FIELD_SET, FIELD_IMAGES = "simulated-hr", 3
START = "UNet_5nmAu330kX423eUTC_fold0_seed962_model"
"""The network that trainings start from: gold of a usual size, at a usual dose."""


@dataclass(frozen=True, slots=True)
class Published:
    """A network that others trained.

    Attributes
    ----------
    name : str
    run : Path
        The run that was made of it.
    spec : NetworkSpec
    pixel_nm : float
        Side of a pixel of what it was trained on.
    material : str
    diameter_nm, dose : float
        Of the particles; in electrons per square ångström.
    """

    name: str
    run: Path
    spec: NetworkSpec
    pixel_nm: float
    material: str
    diameter_nm: float
    dose: float


def adopted(folder: Path, out: Path) -> list[Published]:
    """Return the networks of a folder as runs in ``out``; none without the folder."""
    if not (folder / "networks.json").is_file():
        return []
    found = []
    for entry in json.loads((folder / "networks.json").read_text()):
        name = Path(entry["file"]).stem
        run = out / name
        size = entry["pixel_size_nm"]
        if not (run / "run.json").is_file():
            request = AdoptRequest(
                file=folder / entry["file"],
                run=run,
                pools=tuple(entry["spec"]["pools"]),
                pixel_size_nm=(size, size),
                sees=(0.0, 1.0),
                class_names=("background", "particle"),
                source=entry["source"],
                licence=entry["licence"],
            )
            adopt_weights(request, report=lambda _: None, stopped=lambda: False)
        found.append(
            Published(
                name,
                run,
                read_run(run).record.network,
                size,
                entry["material"],
                entry["diameter_nm"],
                entry["dose_e_per_A2"],
            )
        )
    return found


def measure(networks: list[Published], place: Place, done: Found | None = None) -> Iterator[str]:
    """Measure what is neither in the folder nor in tables yet, and say what was found."""
    scored: set[tuple[str, str]] = set()
    seen: set[str] = set()
    if done is not None and not done.published.empty:
        scored = set(zip(done.published["network"], done.published["set"], strict=True))
    if done is not None and not done.fields.empty:
        seen = set(done.fields["network"])
    yield from _measure_fields([each for each in networks if each.name not in seen], place)
    for name in KINDS:
        if not is_there(name, place.data, place.simulated):
            yield f"{name} is not there yet"
            continue
        for each in networks:
            path = place.out / "published_scores" / f"{each.name}_{name}.json"
            if path.is_file() or (each.name, name) in scored:
                continue
            cpu = time.process_time()
            row = _measured(each, name, place)
            row["cpu_seconds"] = round(time.process_time() - cpu, 1)
            write_text(path, json.dumps(row))
            means = {
                how: round(float(np.mean([image["dice"] for image in row[how]])), 3)
                for how in ("as_is", "resampled")
                if row[how]
            }
            yield f"{each.name} {name}: {means}, {row['cpu_seconds']} s"


def _measure_fields(networks: list[Published], place: Place) -> Iterator[str]:
    if not is_there(FIELD_SET, place.data, place.simulated):
        yield f"{FIELD_SET} is not there yet: no field is measured"
        return
    for each in networks:
        path = place.out / "published_fields" / f"{each.name}.json"
        if path.is_file():
            continue
        images = one_a_group(read_set(FIELD_SET, place.data, place.simulated))[:FIELD_IMAGES]
        network = network_of(each.spec, read_run(each.run).read_weights())
        known = [(image, scale) for image in images if (scale := _scale(each, image))]
        row = {
            "network": each.name,
            "material": each.material,
            "diameter_nm": each.diameter_nm,
            "dose": each.dose,
            "pixel_nm": each.pixel_nm,
            "nominal_px": nominal_receptive_field(each.spec),
            **_fields(each, network, known),
        }
        write_text(path, json.dumps(row))
        yield f"{each.name}: w50 {row['w50_px']}, w95 {row['w95_px']} of {row['nominal_px']} px"


def _measured(published: Published, name: str, place: Place) -> dict[str, Any]:
    images = one_a_group(read_set(name, place.data, place.simulated))[:MOST_IMAGES]
    network = network_of(published.spec, read_run(published.run).read_weights())
    folded = accelerated(network).folded()
    row: dict[str, Any] = {
        "network": published.name,
        "set": name,
        "pixel_nm": published.pixel_nm,
        "material": published.material,
        "diameter_nm": published.diameter_nm,
        "dose": published.dose,
        "nominal_px": nominal_receptive_field(published.spec),
        "as_is": [_scored(folded, image, 1.0) for image in images],
        "resampled": [],
    }
    scales = [_scale(published, image) for image in images]
    known = [(image, scale) for image, scale in zip(images, scales, strict=True) if scale]
    if known:
        row["resampled"] = [_scored(folded, image, scale) for image, scale in known]
    return row


def one_a_group(images: tuple[LabelledImage, ...]) -> list[LabelledImage]:
    """Return an image of each group, those without particles left out."""
    first: dict[str, LabelledImage] = {}
    for image in images:
        if image.labels.mean() > 0.001:
            first.setdefault(image.group, image)
    return list(first.values())


def _scale(published: Published, image: LabelledImage) -> float | None:
    """Return how many times larger pixels have to be; None where nothing would be left to see."""
    if image.pixel_size_nm is None:
        return None
    ratio = image.pixel_size_nm[0] / published.pixel_nm
    return 1 / ratio if 1 / MOST_RATIO <= ratio <= MOST_RATIO else None


def _scored(folded: Any, image: LabelledImage, scale: float) -> dict[str, Any]:
    found = predict(folded, as_seen(image, scale))
    assert found is not None
    shape = (image.labels.shape[0], image.labels.shape[1])
    classes = found.classes
    if classes.shape != shape:
        classes = resample_labels(classes, shape)
    return {
        **about(image),
        **score_of(classes, image),
        # what is crystalline may be what is not labelled, as in graphene
        "dice_the_other_way": score_of(1 - classes, image)["dice"],
    }


def _fields(
    published: Published, network: Any, images: list[tuple[LabelledImage, float]]
) -> dict[str, Any]:
    """Return the widths of the trained network and of one with random weights, in px."""
    seen = [as_seen(image, scale) for image, scale in images]
    trained = widths(network, seen)
    as_made = widths(random_network(replace(published.spec), 752), seen)
    return {
        "w50_px": trained[0],
        "w95_px": trained[1],
        "untrained_w50_px": as_made[0],
        "untrained_w95_px": as_made[1],
    }
