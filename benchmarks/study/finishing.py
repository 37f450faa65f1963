"""Masks of the study finished as the program finishes them: of these users count particles.

Nothing is trained: networks are read from the weights of their pieces. Random forests are fitted
anew, for they are not kept.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from napari_tem_rf.jobs.finishing import certain, suggest_from
from napari_tem_rf.jobs.orientations import NUMBER_OF, allowed
from napari_tem_rf.learning.baselines import fit_forest
from napari_tem_rf.learning.fast.network import accelerated
from napari_tem_rf.learning.network import network_of
from napari_tem_rf.learning.orientations import ORIENTATIONS, predict_turned
from napari_tem_rf.learning.pixel_features import FOREST_REACH_PX
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.locking import BusyError, Lock
from napari_tem_rf.measuring.finishing import Finishing, finish_prediction
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.storage import write_text
from study.networks import COMPARED
from study.pieces import Piece, round_of
from study.sets import KINDS, SPLITS, is_there
from study.working import Place, about, as_seen, parts_for, score_of, taught

Ask = Callable[[np.ndarray], Any]
"""What is said of a standardised image: ``classes`` and ``shares``."""


def to_finish(sets: Sequence[str] = tuple(KINDS)) -> list[Piece]:
    """Return the pieces whose masks are finished: each split once, in all sets."""
    return [
        Piece(name, method, *round_of(number))
        for number in range(SPLITS)
        for name in sets
        for method in COMPARED
    ]


def finish_all(
    pieces: Sequence[Piece], place: Place, done: frozenset[str] = frozenset()
) -> Iterator[str]:
    """Finish and score the masks of pieces that are not done yet, and say how each went."""
    for piece in pieces:
        path = place.out / "finished" / f"{piece.name}.json"
        if path.is_file() or piece.name in done:
            continue
        if not is_there(piece.set, place.data, place.simulated):
            yield f"{piece.name}: its set is not there"
        elif piece.spec is not None and not place.weights(piece).is_file():
            yield f"{piece.name}: its weights are not there"
        else:
            try:
                with Lock(path, "masks of the study", is_folder=False):
                    row = _finished(piece, place)
                    write_text(path, json.dumps(row))
            except BusyError:
                continue
            scores = [each["object_f1"] for each in row["images"] if each["object_f1"] is not None]
            f1 = float(np.mean(scores)) if scores else float("nan")
            yield f"{piece.name}: object F1 {f1:.3f}, {row['how']}, {row['cpu_seconds']} s"


def _finished(piece: Piece, place: Place) -> dict[str, Any]:
    cpu = time.process_time()
    parts = parts_for(piece, place)
    data = taught(piece, parts.training)
    if piece.spec is None:
        forest = fit_forest(data.images, piece.seed, threads=1, classes=2)
        assert forest is not None
        ask: Ask = partial(forest.decide, shares=True)
        suggestion = suggest_from(data.images, FOREST_REACH_PX, Cleaning(), is_network=False)
    else:
        network = network_of(piece.spec, load_file(place.weights(piece)))
        field = nominal_receptive_field(piece.spec)
        suggestion = suggest_from(data.images, field, Cleaning())
        stopping = taught(piece, parts.stopping)
        suggestion = certain(network, data, stopping, suggestion, Cleaning())
        ask = _averaged(network, piece.spec, suggestion.finishing)
    return {
        **asdict(piece),
        "how": suggestion.finishing.sentence,
        "images": [_scored(image, ask, suggestion.finishing) for image in parts.scored],
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def _averaged(network: Any, spec: NetworkSpec, finishing: Finishing) -> Ask:
    """Return what a network says in as many orientations as the program asks it in."""
    folded = accelerated(network).folded()

    def ask(pixels: np.ndarray) -> Any:
        chosen = finishing.asks_for
        if chosen == "as time allows":
            chosen = allowed(spec, pixels.size)
        return predict_turned(partial(predict, folded), pixels, ORIENTATIONS[NUMBER_OF[chosen]])

    return ask


def _scored(image: LabelledImage, ask: Ask, finishing: Finishing) -> dict[str, Any]:
    said = ask(as_seen(image))
    mask = finish_prediction(said.classes, said.shares, finishing)
    return {**about(image), **score_of(mask, image)}
