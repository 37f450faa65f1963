"""Masks of files and series on their way to disk: existing ones are kept, missing ones are made.

The command line and the window write the same files, so that one continues where the other stopped.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.jobs.orientations import settled
from napari_tem_rf.jobs.pixel_sizes import finishing_for, wished_resampling
from napari_tem_rf.jobs.predicting import FrameSaid, PredictionResult
from napari_tem_rf.locking import BusyError, Lock
from napari_tem_rf.measuring.expected_dice import ExpectedDice
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.micrographs.label_series import LabelSeries
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.writing import write_labels, write_probabilities
from napari_tem_rf.movies.drift import Drift, DriftSettings, measure_drift
from napari_tem_rf.movies.steadying import Steadying, neighbours_of
from napari_tem_rf.protocol import Device, Stopped
from napari_tem_rf.provenance import (
    known_hash,
    provenance_of,
    read_provenance,
    write_provenance,
)
from napari_tem_rf.runs import Run, array_hash
from napari_tem_rf.storage import sweep_once

__all__ = ["NOT_STEADIED", "ForeignMaskError", "MaskFile", "own_mask_file"]


_MOST_NOTES = 500
"""How often what is expected is written down, at most, while a series is predicted: the record of
a long one has a number for each frame."""

EXPECTED = "expected_dice"
"""Key of what is expected of a mask in its provenance."""

STEADY = "steady"
"""Key of how masks were made steady in their provenance."""

NOT_STEADIED = Steadying()

_NUMBERS = np.uint16
"""Numbered particles have at least 16 bits, however few they are: no mask of classes needs them."""


class ForeignMaskError(ValueError):
    """A file of that name exists and comes from another run or image."""


class MaskFile:
    """The mask of one micrograph, a single image or a series, and its probabilities if wanted.

    The provenance is written first: what a kill leaves behind is then known to be ours. Every
    file is whole or not there, so that only missing ones are made. At no time is more than one
    frame in the memory. From `begin` to `finish` or `release` nobody else makes the same file: it
    is locked, so that several commands may share a folder.

    Parameters
    ----------
    run : Run
        The run that predicts; its record says how the mask is finished.
    micrograph : Micrograph
        What is predicted; its pixels may be lazy.
    target : Path
        File of the mask; for a series one whose format holds stacks.
    probabilities : bool
        Whether to write probabilities too: float TIFF, one file a frame, beside the mask.
    resample : bool, optional
        Whether to show the image to the network at the pixel size that it was trained at; where it
        can be when not given: see `wished_resampling`.
    instances : bool
        Whether the mask has a number for each particle, in 16 bits or more, in place of the values
        of classes.
    neck : float
        How narrow a neck has to be, where the run cannot tell particles apart by their border.
    steadying : Steadying
        Over how many neighbouring frames of a series probabilities are averaged along its drift; a
        single image has none.

    Raises
    ------
    ForeignMaskError
        When something is there that is not from this run and image.
    ValueError
        When the image cannot be resampled.
    """

    def __init__(
        self,
        run: Run,
        micrograph: Micrograph,
        target: Path,
        *,
        probabilities: bool = False,
        resample: bool | None = None,
        instances: bool = False,
        neck: float = Finding().neck,
        steadying: Steadying = NOT_STEADIED,
    ) -> None:
        self.target = target
        self.micrograph = micrograph
        self._run = run
        self.instances = instances
        self._neck = neck
        self._is_series = micrograph.pixels.ndim == 3
        self._likely = tuple(self._probability_paths()) if probabilities else ()
        size = micrograph.pixel_size_nm
        self.resampling = wished_resampling(run.record, size, micrograph.image_shape, resample)
        self._expected: dict[int, ExpectedDice] = {}
        self._to_note = 0
        self.finishing = settled(
            finishing_for(run.record, size),
            run.record,
            micrograph.image_shape,
            self.resampling,
            micrograph.frames,
        )
        self._identity: dict[str, Any] = {
            "image": micrograph.name,
            "weights_sha256": known_hash(run.weights),
            "source_sha256": None if micrograph.source is None else known_hash(micrograph.source),
            "pixel_size_nm": None if size is None else list(size),
            "resampling": None if self.resampling is None else self.resampling.to_dict(),
            "finishing": self.finishing.to_dict() if self.finishing.changes_something else None,
        }
        if instances:
            self._identity["instances"] = told_apart(run, neck)
        self.steadying = steadying if micrograph.frames > 1 else NOT_STEADIED
        self._drift: Drift | None = None
        if self.is_steadied:
            self._identity[STEADY] = {
                **asdict(self.steadying),
                "drift": asdict(DriftSettings()),
            }
        if micrograph.source is None:
            # without a file the first frame must do
            self._identity["pixels_sha256"] = array_hash(micrograph.frame())
        self._series: LabelSeries | None = None
        self.lock = Lock(target, "predicting", is_folder=False)
        self._check()

    @property
    def is_done(self) -> bool:
        """Whether all files of the mask exist."""
        return all(path.exists() for path in (self.target, *self._likely))

    @property
    def is_free(self) -> bool:
        """Whether nobody else makes the mask, which is then locked."""
        try:
            self.lock.acquire()
        except BusyError:
            return False
        return True

    def begin(self) -> tuple[int, ...]:
        """Lock the file, write its provenance and return the frames that are missing.

        Raises
        ------
        BusyError
            If somebody else makes it at this moment; wait for its `lock` and begin again.
        ForeignMaskError
            If somebody else made it in the meantime, from another run or image.
        StorageError
            If the disk is full or the folder cannot be written to.
        """
        if not self.lock.is_held:
            self.lock.acquire()
        try:
            self._check()  # what was there before it was locked may have changed
        except ForeignMaskError:
            self.release()
            raise
        if self.is_done:
            self.release()
            return ()
        size = self.micrograph.pixel_size_nm
        made = provenance_of(self._run, self.micrograph.name, None, size)
        source = self.micrograph.source
        made["source"] = None if source is None else str(source.resolve())
        if self.is_steadied:
            drift = self._known_drift()
            made["drift"] = {
                "offsets_px": np.round(drift.offsets_px, 3).tolist(),
                "spread_px": drift.spread_px,
                "left_out": {str(frame): why for frame, why in drift.left_out.items()},
            }
        if self._is_series:
            # of frames that were predicted before a break
            made[EXPECTED] = self.expected
        write_provenance(self.target, made | self._identity)
        if self._is_series and not self.target.exists():
            self._series = LabelSeries(
                self.target,
                self.micrograph.frames,
                self.micrograph.image_shape,
                size,
                made_by=self._made_by(),
                least=_NUMBERS if self.instances else np.uint8,
            )
        return self.missing

    @property
    def missing(self) -> tuple[int, ...]:
        """The frames of which a file is missing; known after `begin`."""
        return tuple(
            index
            for index in range(self.micrograph.frames)
            if self._wants_mask(index) or self._wants_probabilities(index)
        )

    @property
    def is_steadied(self) -> bool:
        """Whether a frame's mask is made from its neighbours too: see `steady_arguments`."""
        return self.steadying.frames > 0

    def measure_drift(self, stopped: Stopped = lambda: False) -> Iterator[float]:
        """Measure the drift along which the masks are made steady; yields the fraction done.

        Nothing is done where they are not, or where it is known. `begin` does the same at once.
        """
        if not self.is_steadied or self._drift is not None or self.is_done:
            return
        frames = self.micrograph.frames
        self._drift = self._noted_drift()
        if self._drift is None:
            found = yield from measure_drift(self.micrograph.frame, frames, stopped=stopped)
            if found.frames == frames:
                self._drift = found

    def _known_drift(self) -> Drift:
        for _ in self.measure_drift():
            pass
        assert self._drift is not None
        return self._drift

    def _noted_drift(self) -> Drift | None:
        """Return the drift that was measured before a break."""
        made = read_provenance(self.target) or {}
        try:
            noted = made["drift"]
            offsets = np.array(noted["offsets_px"], np.float64)
            left_out = {int(frame): str(why) for frame, why in noted["left_out"].items()}
            spread = None if noted["spread_px"] is None else float(noted["spread_px"])
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        is_ours = all(made.get(key) == value for key, value in self._identity.items())
        if not is_ours or offsets.shape != (self.micrograph.frames, 2):
            return None
        return Drift(offsets, left_out, spread)

    def neighbours(self, index: int) -> tuple[int, ...]:
        """Return the frames that the mask of a frame is made from, in order, itself among them."""
        if not self.is_steadied:
            return (index,)
        left_out = self._known_drift().left_out
        return neighbours_of(index, self.micrograph.frames, self.steadying.frames, left_out)

    def look_arguments(
        self, index: int, tile_px: int | None = None, device: Device = "auto"
    ) -> tuple[Any, ...]:
        """Return what `napari_tem_rf.jobs.look_at_frame` is to be called with for a frame."""
        return (
            self._run.folder,
            self.micrograph.frame(index),
            tile_px,
            device,
            self.resampling,
            self.micrograph.pixel_size_nm,
            True,
            self.finishing,
        )

    def steady_arguments(self, index: int, said: Mapping[int, FrameSaid]) -> tuple[Any, ...]:
        """Return what `napari_tem_rf.jobs.predict_steadily` is to be called with for a frame.

        Parameters
        ----------
        index : int
        said : mapping of int to FrameSaid
            What the run says of each of the frame's `neighbours`.
        """
        around = self.neighbours(index)
        offsets = self._known_drift().offsets_px
        return (
            self._run.folder,
            tuple(said[frame] for frame in around),
            offsets[list(around)] - offsets[index],
            around.index(index),
            self._wants_probabilities(index),
            self.resampling,
            self.finishing,
            self.instances,
            self._neck,
        )

    def arguments(
        self, index: int, tile_px: int | None = None, device: Device = "auto"
    ) -> tuple[Any, ...]:
        """Return what `napari_tem_rf.jobs.predict_with_run` is to be called with for a frame."""
        return (
            self._run.folder,
            self.micrograph.frame(index),
            tile_px,
            self._wants_probabilities(index),
            device,
            self.resampling,
            self.finishing,
            False,
            self.instances,
            self._neck,
            self.micrograph.pixel_size_nm,
            True,
        )

    def write(self, index: int, result: PredictionResult) -> None:
        """Write what is missing of a frame."""
        size = self.micrograph.pixel_size_nm
        if result.expected is not None:
            self._expected[index] = result.expected
            self._to_note += 1
            # before the frame: what is there after a kill is not predicted again
            if self._to_note > self.micrograph.frames // _MOST_NOTES:
                self._note_expected()
        if self._wants_probabilities(index):
            assert result.probabilities is not None
            write_probabilities(self._likely[index], result.probabilities, size)
        if not self._wants_mask(index):
            return
        labels: NDArray[Any] = result.labels
        if self.instances:
            assert result.instances is not None
            labels = result.instances
        if self._series is not None:
            self._series.write(index, labels)
        else:
            least = _NUMBERS if self.instances else np.uint8
            write_labels(self.target, labels, size, least=least)

    def failure(self, index: int, error: Exception) -> str:
        """Say why a frame could not be predicted: which one it was, and what went wrong."""
        frame = f", frame {index}" if self._is_series else ""
        return f'"{self.micrograph.name}"{frame} cannot be predicted: {error}'

    def finish(self) -> None:
        """Put the frames of a series together, once none is missing, and give the lock back."""
        if self._series is not None:
            self._series.finish()
            self._series = None
        self.release()

    @property
    def expected(self) -> dict[str, Any] | None:
        """What is expected of the mask, as its provenance says it; None where it does not."""
        found = (read_provenance(self.target) or {}).get(EXPECTED)
        return found if isinstance(found, dict) else None

    def expected_of(self, index: int) -> ExpectedDice | None:
        """Return what is expected of a frame that was written since `begin`."""
        return self._expected.get(index)

    def _note_expected(self) -> None:
        """Put what is expected of the frames that were predicted beside what was known before."""
        made = read_provenance(self.target)
        if made is None:
            return
        before = made.get(EXPECTED)
        made[EXPECTED] = expected_of_frames(self._expected, self.micrograph.frames, before)
        write_provenance(self.target, made)
        self._to_note = 0

    def release(self) -> None:
        """Let others make what is missing: to be called where `finish` is not."""
        self._series = None
        if self._to_note and self.lock.is_held:  # else others may be writing
            self._note_expected()
        self._expected, self._to_note = {}, 0
        self.lock.release()

    def _wants_mask(self, index: int) -> bool:
        if self._series is not None:
            return not self._series.has(index)
        return not self._is_series and not self.target.exists()

    def _wants_probabilities(self, index: int) -> bool:
        return bool(self._likely) and not self._likely[index].exists()

    def _check(self) -> None:
        there = [path for path in (self.target, *self._likely) if path.exists()]
        begun = LabelSeries.made_by(self.target)
        if there:
            made = read_provenance(self.target)
            others = {
                key for key, value in self._identity.items() if (made or {}).get(key) != value
            }
            is_ours = bool(made) and not others
            if made and others == {"resampling"}:
                way = "without" if made.get("resampling") is None else "with another"
                raise ForeignMaskError(
                    f'"{there[0]}" exists and was predicted {way} resampling: predict it in the '
                    "same way (--resample, --no-resample) or name another --out folder; nothing is "
                    "overwritten"
                )
            kind = (made or {}).get("instances")
            if is_ours and kind != self._identity.get("instances"):
                raise ForeignMaskError(
                    f'"{there[0]}" exists and holds numbered particles: name another --out folder '
                    "for masks of classes; nothing is overwritten"
                )
            steady = (made or {}).get(STEADY)
            if made and others <= {STEADY} and steady != self._identity.get(STEADY):
                way = "not steady" if steady is None else f"steady over {steady['frames']} frames"
                raise ForeignMaskError(
                    f'"{there[0]}" exists and its masks are {way}: ask for the same (--steady) or '
                    "name another --out folder; nothing is overwritten"
                )
        else:
            is_ours = begun is None or begun == self._made_by()
        if is_ours:
            if self.target.exists():
                self._sweep()
        else:
            what = there[0] if there else self.target
            raise ForeignMaskError(
                f'"{what}" exists and is not from this run and image: name another --out folder; '
                "nothing is overwritten"
            )

    def _sweep(self) -> None:
        """Remove what a kill left behind that came after the mask was whole."""
        sweep_once(self.target.parent)
        LabelSeries.sweep(self.target)
        if not self.lock.is_held and self.lock.file.exists() and self.is_free:
            self.lock.release()

    def _made_by(self) -> Mapping[str, Any]:
        return self._identity | {"shape": list(self.micrograph.pixels.shape)}

    def _probability_paths(self) -> Iterator[Path]:
        stem = self.target.stem
        if not self._is_series:
            yield self.target.with_name(f"{stem}_probabilities.tif")
            return
        for index in range(self.micrograph.frames):
            yield self.target.with_name(f"{stem}_{index:04d}_probabilities.tif")


def expected_of_frames(
    found: Mapping[int, ExpectedDice], frames: int, before: Any = None
) -> dict[str, Any]:
    """Return what is expected of a mask, as plain JSON values: of its worst frame in full.

    Parameters
    ----------
    found : mapping of int to ExpectedDice
        Of frames that were predicted now.
    frames : int
        How many the mask has.
    before : dict, optional
        What this function returned for frames that were predicted earlier.
    """
    # of equal ones the first, so that a break leaves no trace
    worst = min(found, key=lambda index: (found[index].order, index))
    if frames == 1:
        return found[worst].to_dict()
    known = dict(enumerate(before.get("frames", []))) if isinstance(before, dict) else {}
    dices = [found[i].dice if i in found else known.get(i) for i in range(frames)]
    said = found[worst].to_dict() | {"frame": worst}
    if isinstance(before, dict) and before.get("frame") not in found:
        earlier = before.get("dice")
        if earlier is None:
            earlier = -1.0 if before.get("warns") else 2.0
        if (earlier, before.get("frame", 0)) < (found[worst].order, worst):
            said = {key: value for key, value in before.items() if key != "frames"}
    return said | {"frames": dices}


def told_apart(run: Run, neck: float) -> dict[str, Any]:
    """Return how a run's particles are told apart, as it is written in provenance."""
    if run.record.parts_particles:
        return {"told_apart_by": "the border that the run learned", "neck": None}
    return {"told_apart_by": "necks of the mask", "neck": neck}


def own_mask_file(
    run: Run,
    micrograph: Micrograph,
    folder: Path,
    name: str,
    ending: str,
    *,
    resample: bool | None = None,
    steadying: Steadying = NOT_STEADIED,
) -> MaskFile:
    """Return the mask file of a micrograph in a folder that may hold others of its name.

    It is ``<name><ending>``, or ``<name>_2<ending>`` and so on where files of that name come from
    another run or image: those are left as they are.
    """
    for number in count(1):
        stem = name if number == 1 else f"{name}_{number}"
        try:
            return MaskFile(
                *(run, micrograph, folder / f"{stem}{ending}"),
                resample=resample,
                steadying=steadying,
            )
        except ForeignMaskError:
            continue
    raise AssertionError("there is always another number")
