"""The Dice that is expected without a truth, calibrated and put to the test.

``collect`` trains small networks on simulated specimens (``sample_data/settings.py``), changes size
of pixels, dose, defocus and thickness, and keeps for each image what is known of its prediction and
the true Dice. The same for the sample images (multislice) and for the public sets, where an image
is resampled, noise is added or it is blurred; and for images of another specimen or set. It goes on
where it was stopped; ``--again`` keeps the trained networks and does the rest anew.

``scatter`` predicts four more places of each simulated specimen at each setting: how much Dice
scatters from place to place says what somebody would foresee who knew its mean at each setting.

``cost`` says what the score adds to a prediction, in processor time of one thread: the least of
some repeats, in turns.

``fit`` fits `CalibratedModel` to the simulated images alone. It says how well that does on networks
and specimens that were left out of the fit one after the other, on kinds of change that were left
out with them, and on all other sets; draws the plot of the guide, and with ``--write`` replaces the
table in the package.

    python benchmarks/expected_dice.py collect --out trust --minutes 4 [--again]
    python benchmarks/expected_dice.py scatter --out trust --minutes 4
    python benchmarks/expected_dice.py cost --out trust
    python benchmarks/expected_dice.py fit --out trust [--write] [--plot docs/pictures/expected.png]
"""

import argparse
import json
import re
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.optimize import least_squares

from napari_tem_rf import jobs, read_labels, read_micrographs
from napari_tem_rf.jobs.judging import evidence_of, held_out_dice, what_it_saw
from napari_tem_rf.jobs.predicting import network_of_run, stamp
from napari_tem_rf.jobs.request import prepare
from napari_tem_rf.jobs.training import _gap_px
from napari_tem_rf.measuring.expected_dice import (
    FEATURES,
    CalibratedModel,
    Line,
    features_of,
    usual_features,
)
from napari_tem_rf.measuring.finishing import Finishing
from napari_tem_rf.measuring.image_statistics import ImageStatistics, image_statistics
from napari_tem_rf.measuring.scores import dice
from napari_tem_rf.measuring.trained_on import Evidence, TrainedOn
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.cleaning import clean, standardise
from napari_tem_rf.micrographs.resampling import resample_image, resample_labels
from napari_tem_rf.micrographs.splitting import split
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.records import record_of
from napari_tem_rf.runs import Run, read_run
from napari_tem_rf.starting import SIMULATED
from napari_tem_rf.storage import write_text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "sample_data"))
sys.path.insert(0, str(ROOT / "benchmarks"))
from settings import Settings, Specimen, draw_image, draw_specimen  # noqa: E402
from strokes_to_mask import Known, draw  # noqa: E402

TABLE = ROOT / "src" / "napari_tem_rf" / "measuring" / "expected_dice.json"
SPECS = (
    NetworkSpec((4, 4)),
    NetworkSpec((2, 2)),
    NetworkSpec((4, 4)),
    NetworkSpec((4, 8), filters=3),
    NetworkSpec((2,)),
)
KINDS = ("particles", "masses", "sheet")
REAL = ("graphene-hrtem", "nanoparticles-bf", "dislocation-loops", "sample-hr", "sample-lm")
BOUNDED = ("unsure", "disagrees", "spectrum", "lattice", "own", "turned", "finished")
"""Features that are never more than 1."""
BOUNDLESS, FAR = ("less", "more", "edges", "ragged"), 20.0
"""Features beyond whose usual range the expected Dice is low, not unknown."""
DROP, LARGE_DROP = 0.1, 0.3
PLACES = 4
"""More of each simulated setting that ``scatter`` predicts."""
INNER = 0.8
"""Of the cases, the part that an interval is to hold."""
MOST_FALSE = 0.05


@dataclass(frozen=True)
class Task:
    """A network to train, and what to try it on."""

    name: str
    family: str
    """What is left out together: one simulated kind and specimen, or a set."""
    images: Callable[[], tuple[LabelledImage, ...]]
    tests: Callable[..., Iterator[tuple[str, np.ndarray, np.ndarray, float | None]]]
    """Yields change, pixels, mask and side of a pixel in nm; simulated, of another place by a
    number."""
    spec: NetworkSpec
    strokes: bool
    start: str | None
    steps: int
    seed: int


def seed_of(*words: Any) -> int:
    return zlib.crc32(repr(words).encode())


# simulated specimens


def changes(usual: Settings, rng: np.random.Generator) -> Iterator[tuple[str, Settings]]:
    """Yield settings to predict at: each changed alone, then some at once."""
    for _ in range(6):
        yield "none", usual
    for factor in (0.5, 0.7, 0.85, 1.2, 1.5, 2.0):
        yield "pixel", replace(usual, pixel_nm=usual.pixel_nm * factor)
    for factor in (1 / 16, 1 / 6, 1 / 3, 4.0):
        yield "dose", replace(usual, dose=usual.dose * factor)
    for factor in (0.3, -1.0, 2.0, 4.0):
        yield "defocus", replace(usual, defocus_nm=usual.defocus_nm * factor)
    for thickness in (0.3, 3.0, 8.0):
        yield "thickness", replace(usual, thickness=thickness)
    for _ in range(4):
        yield (
            "several",
            Settings(
                usual.pixel_nm * float(np.exp(rng.uniform(-0.5, 0.5))),
                usual.dose * float(np.exp(rng.uniform(-2.0, 0.7))),
                usual.defocus_nm * rng.uniform(0.2, 3.0),
                float(np.exp(rng.uniform(-0.5, 1.6))),
            ),
        )


def labelled(name: str, pixels: np.ndarray, mask: np.ndarray, nm: float | None, strokes: bool,
             seed: int) -> LabelledImage:  # fmt: skip
    labels = mask.astype(np.uint8)
    if strokes:
        labels = draw(mask > 0, np.random.default_rng(seed))
    return LabelledImage(name, pixels, labels, None if nm is None else (nm, nm))


def simulated(number: int) -> Task:
    kind = KINDS[number % 3]
    seed = seed_of("simulated", number)
    rng = np.random.default_rng(seed)
    specimen: Specimen = draw_specimen(rng, kind)  # type: ignore[arg-type]
    other: Specimen = draw_specimen(rng, KINDS[(number + 1 + number // 3) % 3])  # type: ignore[arg-type]
    spec = SPECS[number % len(SPECS)]
    strokes = number % 4 == 3
    usual = specimen.usual
    count = 3 if strokes else int(rng.integers(4, 8))
    # settings are never quite the same from image to image
    near = [
        replace(
            usual,
            dose=usual.dose * float(np.exp(rng.normal(0, 0.1))),
            defocus_nm=usual.defocus_nm * (1 + rng.normal(0, 0.08)),
        )
        for _ in range(count)
    ]

    def images() -> tuple[LabelledImage, ...]:
        return tuple(
            labelled(
                f"image {i}",
                *draw_image(specimen, settings, np.random.default_rng([seed, i])),
                usual.pixel_nm,
                strokes,
                seed + i,
            )
            for i, settings in enumerate(near)
        )

    def tests(*another: int) -> Iterator[tuple[str, np.ndarray, np.ndarray, float | None]]:
        chance = np.random.default_rng([seed, 7])
        for place, (change, settings) in enumerate(changes(usual, chance)):
            drawn = draw_image(
                specimen, settings, np.random.default_rng([seed, 99, place, *another])
            )
            yield change, *drawn, settings.pixel_nm
        if another:
            return
        for repeat in range(2):
            drawn = draw_image(other, other.usual, np.random.default_rng([seed, 98, repeat]))
            yield "specimen", *drawn, other.usual.pixel_nm

    return Task(
        f"simulated_{number:02d}", f"{kind} {number}", images, tests, spec, strokes,
        SIMULATED if spec == SPECS[0] else None,
        int(rng.integers(120, 260)), seed % 10_000,
    )  # fmt: skip


# the sample images and the public sets


def read_real(name: str, data: Path) -> list[Known]:
    folder = {
        "sample-hr": ROOT / "sample_data" / "high_resolution",
        "sample-lm": ROOT / "sample_data" / "low_magnification",
    }.get(name, data / name)
    found = []
    for path in sorted((folder / "images").iterdir()):
        (micrograph,) = read_micrographs(path)
        mask = read_labels(folder / "labels" / path.name) > 0
        exposure = re.sub(r"(_layer_\d+|row\d_)", "", path.stem)
        found.append(Known(path.stem, exposure, micrograph.frame(), mask))
    return found


def changed(image: Known, change: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and mask of an image that was changed: ``pixel 1.4``, ``noise 1``, ``blur``."""
    seen, mask = standardise(image.pixels), image.mask
    what, _, much = change.partition(" ")
    if what == "pixel":
        shape = tuple(max(64, round(side / float(much))) for side in seen.shape)
        return resample_image(seen, shape), resample_labels(mask, shape)  # type: ignore[arg-type]
    if what == "noise":
        return seen + rng.normal(0, float(much), seen.shape).astype(np.float32), mask
    if what == "blur":
        return gaussian_filter(seen, float(much)), mask
    return seen, mask


def real(name: str, number: int, data: Path) -> Task:
    seed = seed_of(name, number)
    rng = np.random.default_rng(seed)
    spec = SPECS[(number + 1) % len(SPECS)]
    many = {"graphene-hrtem": 8, "nanoparticles-bf": 4, "dislocation-loops": 2}.get(name, 4)

    def parts() -> tuple[list[Known], list[Known]]:
        known = read_real(name, data)
        exposures = sorted({each.exposure for each in known})
        order = list(np.random.default_rng(seed).permutation(exposures))
        first = []
        for exposure in order:
            some = [k for k in known if k.exposure == exposure and k.mask.mean() > 0.005]
            first += some[:1]
        first = first[:many]
        taken = {each.exposure for each in first}
        return first, [each for each in known if each.exposure not in taken]

    strokes = number % 4 == 3

    def images() -> tuple[LabelledImage, ...]:
        return tuple(
            labelled(each.name, standardise(each.pixels), each.mask, None, strokes, seed + i)
            for i, each in enumerate(parts()[0][: 3 if strokes else many])
        )

    def tests() -> Iterator[tuple[str, np.ndarray, np.ndarray, float | None]]:
        chance = np.random.default_rng([seed, 7])
        _, rest = parts()
        rest = [each for each in rest if each.mask.mean() > 0.01]
        chance.shuffle(rest)  # type: ignore[arg-type]
        for image in rest[:6]:
            yield "none", *changed(image, "none", chance), None
        for change in ("pixel 0.6", "pixel 0.8", "pixel 1.3", "pixel 1.8", "noise 0.4", "noise 1",
                       "noise 2", "blur 1", "blur 2"):  # fmt: skip
            for image in rest[:2]:
                yield change.split()[0], *changed(image, change, chance), None
        for other in REAL:
            if other != name:
                some = [each for each in read_real(other, data) if each.mask.mean() > 0.01]
                for place in chance.choice(len(some), 1, replace=False):
                    image = some[place]
                    yield "set", standardise(image.pixels), image.mask, None

    return Task(
        f"{name}_{number}", name, images, tests, spec, strokes,
        SIMULATED if spec == SPECS[0] else None,
        int(rng.integers(150, 300)), seed % 10_000,
    )  # fmt: skip


def all_tasks(networks: int, reals: int, data: Path) -> list[Task]:
    """Return all networks, those on other sets spread among the simulated."""
    tasks = [simulated(number) for number in range(networks)]
    sets = [name for name in REAL if name.startswith("sample") or (data / name).is_dir()]
    others = [real(name, number, data) for number in range(reals) for name in sets]
    for place, task in enumerate(others, start=1):
        tasks.insert(min(4 * place, len(tasks)), task)
    return tasks


# collecting


def trained(task: Task, folder: Path) -> Run:
    if not (folder / "run.json").is_file() or read_run(folder).record.trained_on is None:
        request = jobs.TrainRequest(
            run=folder,
            images=task.images(),
            spec=task.spec,
            plan=TrainingPlan(
                epochs=None, steps=task.steps, seed=task.seed, device="cpu", crop_px=96, batch=4
            ),
            unlabelled="ignore" if task.strokes else "background",
            labels_are="classes",
            start=task.start,
            threads=1,
        )
        jobs.train_run(request, report=lambda report: None, stopped=lambda: False)
    return read_run(folder)


def measured(task: Task, run: Run) -> TrainedOn:
    """Return what the network was trained on, measured by the program as it is now."""
    record = run.record
    data = prepare(
        task.images(), "ignore" if task.strokes else "background", record.cleaning,
        labels_are="classes",
    )  # fmt: skip
    parts = split(data, record.plan.validation, _gap_px(record.network), record.plan.seed)
    network = network_of_run(run.folder, stamp(run.folder), "cpu")
    found = what_it_saw(network, task.images(), parts.training, parts.validation, record.finishing)
    assert found is not None
    return found


def tried(task: Task, run: Run, trained_on: TrainedOn) -> list[dict[str, Any]]:
    record = run.record
    network = network_of_run(run.folder, stamp(run.folder), "cpu")
    rows = []
    for change, pixels, mask, nm in task.tests():
        result = jobs.predict_with_run(
            run.folder, pixels, None, False, "cpu", keep=True,
            report=lambda report: None, stopped=lambda: False,
        )  # fmt: skip
        assert result is not None
        assert result.classes is not None
        seen = standardise(clean(pixels, record.cleaning))
        evidence = evidence_of(network, seen, result, result.labels > 0, trained_on.features)
        size = None if nm is None else (nm, nm)
        rows.append(
            {
                "change": change,
                "dice": dice(result.labels > 0, mask > 0),
                "raw_dice": dice(result.classes > 0, mask > 0),
                "truth": float(np.mean(mask > 0)),
                "evidence": asdict(evidence),
                "image": asdict(image_statistics(seen, pixel_size_nm=size)),
            }
        )
    return rows


def collect(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)  # beside other work threads wait for each other
    end = time.monotonic() + 60 * options.minutes
    tasks = all_tasks(options.networks, options.reals, options.data)
    if options.backwards:
        tasks.reverse()
    for task in tasks:
        path = options.out / ("again" if options.again else "rows") / f"{task.name}.json"
        if path.is_file():
            continue
        if time.monotonic() > end:
            print("time is over: call again to go on")
            return
        begun = time.monotonic()
        run = trained(task, options.out / "runs" / task.name)
        took = time.monotonic() - begun
        trained_on = measured(task, run)
        rows = tried(task, run, trained_on)
        path.parent.mkdir(parents=True, exist_ok=True)
        held = {"name": task.name, "family": task.family, "trained_on": asdict(trained_on)}
        write_text(path, json.dumps({**held, "rows": rows}))
        usual = np.mean([row["dice"] for row in rows if row["change"] == "none"])
        print(
            f"{task.name}: held out {run.record.validation_dice}, usual {usual:.3f}, "
            f"all {np.mean([row['dice'] for row in rows]):.3f}; {took:.0f} + "
            f"{time.monotonic() - begun - took:.0f} s",
            flush=True,
        )
    print("all is collected")
    if options.again:
        (options.out / "rows").rename(options.out / f"rows-{time.time():.0f}")
        (options.out / "again").rename(options.out / "rows")


def scatter(options: argparse.Namespace) -> None:
    """Keep the true Dice at more places of each simulated setting."""
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * options.minutes
    for number in range(options.networks):
        task = simulated(number)
        path = options.out / "scatter" / f"{task.name}.json"
        if path.is_file():
            continue
        if time.monotonic() > end:
            print("time is over: call again to go on")
            return
        run = options.out / "runs" / task.name
        found = []
        for another in range(PLACES):
            dices = []
            for _, pixels, mask, _ in task.tests(another):
                result = jobs.predict_with_run(
                    run, pixels, None, False, "cpu",
                    report=lambda report: None, stopped=lambda: False,
                )  # fmt: skip
                assert result is not None
                dices.append([dice(result.labels > 0, mask > 0), float(np.mean(mask > 0))])
            found.append(dices)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(found))
        print(task.name, flush=True)
    print("all is scattered")


def cost(options: argparse.Namespace) -> None:
    """Print what a prediction takes, and what it takes with the score, of one network."""
    torch.set_num_threads(1)
    folder = options.out / "runs" / "simulated_10"
    record = read_run(folder).record
    print(f"{record.network}, {record.network.parameters:,} parameters; ms of one thread")
    size = record.pixel_size_nm

    def predict(pixels: np.ndarray, finishing: Finishing, judged: bool) -> float:
        begun = time.thread_time()
        jobs.predict_with_run(
            folder, pixels, None, False, "cpu", finishing=finishing, pixel_size_nm=size,
            judged=judged, report=lambda report: None, stopped=lambda: False,
        )  # fmt: skip
        return time.thread_time() - begun

    for side, repeats in ((256, 40), (512, 20), (1024, 6), (2048, 3)):
        counts = np.random.default_rng(0).normal(1000, 30, (side, side))
        pixels = gaussian_filter(counts, 1.0).astype(np.uint16)
        for asked in ("one", "as time allows"):
            plan = replace(record.finishing, orientations=asked)
            predict(pixels, plan, True)
            times = [
                [predict(pixels, plan, judged) for judged in (False, True)] for _ in range(repeats)
            ]
            alone, both = 1e3 * np.min(times, axis=0)
            print(
                f"{side:5d} px, orientations {asked}: {alone:7.1f}, with the score {both:7.1f}: "
                f"+{both / alone - 1:.0%}"
            )


# fitting


@dataclass(frozen=True, eq=False)
class Case:
    """One predicted image of a network."""

    network: str
    family: str
    change: str
    features: tuple[float, ...]
    usual: tuple[float, ...]
    held_out: float | None
    true: float
    drop: float
    """By how much the true Dice lies below the network's mean on unchanged images."""
    own: float
    """The Dice that the network's probabilities give."""


def read_cases(folder: Path) -> list[Case]:
    cases = []
    for path in sorted((folder / "rows").glob("*.json")):
        held = json.loads(path.read_text())
        record = read_run(folder / "runs" / held["name"]).record
        trained_on = record_of(TrainedOn, held["trained_on"])
        rows = [row for row in held["rows"] if row["truth"] > 0.01]
        plain = [row["dice"] for row in rows if row["change"] == "none"]
        if not plain:
            continue
        for row in rows:
            evidence = Evidence(**row["evidence"])
            image = record_of(ImageStatistics, row["image"])
            cases.append(
                Case(
                    held["name"],
                    held["family"],
                    row["change"],
                    features_of(trained_on, evidence, image),
                    usual_features(trained_on),
                    held_out_dice(record),
                    row["dice"],
                    float(np.mean(plain)) - row["dice"],
                    evidence.own_dice,
                )
            )
    return cases


def fitted_line(cases: list[Case], with_held_out: bool, ridge: float = 2e-3) -> Line:
    """Fit a line: least squares of the Dice, coefficients not negative and drawn towards 0."""
    x = np.array([case.features for case in cases])
    y = np.array([case.true for case in cases])
    known = [0.5 if case.held_out is None else case.held_out for case in cases]
    bounded = np.clip(known, 0.02, 0.98)
    anchor = np.log(bounded / (1 - bounded)) * with_held_out
    size = x.std(axis=0) + 0.05  # weights are drawn to 0 by what they do, not by their unit
    count: dict[str, int] = {}
    for case in cases:
        count[case.network] = count.get(case.network, 0) + 1
    weight = np.sqrt([1 / count[case.network] for case in cases]) / np.sqrt(len(count))

    def off(p: np.ndarray) -> np.ndarray:
        logit = p[0] + p[1] * anchor - x @ p[2:]
        residual = weight * (1 / (1 + np.exp(-logit)) - y)
        return np.concatenate([residual, np.sqrt(ridge) * size * p[2:]])

    def slope(p: np.ndarray) -> np.ndarray:
        part = 1 / (1 + np.exp(-(p[0] + p[1] * anchor - x @ p[2:])))
        rise = (weight * part * (1 - part))[:, None]
        drawn = np.diag(np.sqrt(ridge) * size)
        rows = np.concatenate([np.ones((len(x), 1)), anchor[:, None], -x], axis=1)
        return np.concatenate([rise * rows, np.pad(drawn, ((0, 0), (2, 0)))])

    n = x.shape[1]
    found = least_squares(
        off,
        np.concatenate([[1.0, 0.7 * with_held_out], np.full(n, 0.3)]),
        slope,
        bounds=([-6, 0, *[0] * n], [8, 1.5 * with_held_out + 1e-9, *[20] * n]),
    ).x
    return Line(
        round(float(found[0]), 3),
        round(float(found[1]), 3) if with_held_out else 0.0,
        tuple(round(float(each), 3) for each in found[2:]),
    )


def fitted_lines(cases: list[Case]) -> tuple[Line, Line]:
    anchored = [case for case in cases if case.held_out is not None]
    return fitted_line(anchored, True), fitted_line(cases, False)


def expected(lines: tuple[Line, Line], case: Case) -> tuple[float, float]:
    """Return the expected Dice, and the expected drop below that of usual images."""
    line = lines[case.held_out is None]
    dice_ = line.dice(case.features, case.held_out)
    return dice_, line.dice(case.usual, case.held_out) - dice_


def left_out(cases: list[Case], *, changes: bool = False) -> np.ndarray:
    """Return expected Dice and drop of each case by lines that never saw its network.

    Nor, where told, any network's images of its kind of change: then specimens are left out a
    quarter at a time.
    """
    families = list(dict.fromkeys(case.family for case in cases))
    part = {family: at % 4 if changes else at for at, family in enumerate(families)}
    keys = [(part[case.family], case.change if changes else "") for case in cases]
    found = np.zeros((len(cases), 2))
    for key in dict.fromkeys(keys):
        lines = fitted_lines(
            [
                case
                for case, other in zip(cases, keys, strict=True)
                if other[0] != key[0] and (not changes or key[1] == "none" or other[1] != key[1])
            ]
        )
        for place, other in enumerate(keys):
            if other == key:
                found[place] = expected(lines, cases[place])
    return found


def is_beyond(case: Case, most: Any) -> bool:
    """Whether an image is farther from the training than what the model knows."""
    return bool(np.any(np.array(case.features) > np.array(most)))


def alarms(warned: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """Return caught drops, false alarms of all others, and of those that lost at most half."""
    caught = warned[true > DROP].mean() if (true > DROP).any() else np.nan
    clear = true <= DROP / 2
    return float(caught), float(warned[true <= DROP].mean()), float(warned[clear].mean())


def spread_of(values: np.ndarray, residuals: np.ndarray) -> tuple[tuple[float, float, float], ...]:
    """Return, for some expected values, how far below and above them the true ones lie."""
    edges = np.quantile(values, np.linspace(0, 1, 6))
    rows = []
    for low, high in pairwise(edges):
        inside = (values >= low) & (values <= high)
        below, above = np.quantile(residuals[inside], ((1 - INNER) / 2, (1 + INNER) / 2))
        middle, *widths = (low + high) / 2, max(0.03, -below), max(0.03, above)
        rows.append((round(float(middle), 3), *(round(float(each), 3) for each in widths)))
    return tuple(rows)


def perfect(folder: Path) -> dict[str, float]:
    """Say what somebody would foresee who knew the mean Dice of every network at every setting.

    The mean is that of the other places at the same setting: without it, too high is what is
    foreseen by a mean that the image is part of. What lies between the two is the most that can be
    known of an image from its setting, as Dice scatters from place to place.
    """
    known: dict[str, list[np.ndarray]] = {"others": [], "all": []}
    true, drops = [], []
    for path in sorted((folder / "scatter").glob("*.json")):
        rows = json.loads((folder / "rows" / path.name).read_text())["rows"]
        rows = [row for row in rows if row["change"] != "specimen"]
        first = [[row["dice"], row["truth"]] for row in rows]
        found = np.array([first, *json.loads(path.read_text())])  # (place, setting, Dice and truth)
        values = np.where(found[..., 1] > 0.01, found[..., 0], np.nan)
        plain = [number for number, row in enumerate(rows) if row["change"] == "none"]
        usual = np.nanmean(values[:, plain])
        # all images without a change are of one setting
        sums, counts = np.nansum(values, 0), np.isfinite(values).sum(0)
        sums[plain], counts[plain] = sums[plain].sum(), counts[plain].sum()
        inside = np.isfinite(values) & (counts > 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            of_others = (sums - values) / (counts - 1)
            of_all = np.broadcast_to(sums / counts, values.shape)
        known["others"].append(usual - of_others[inside])
        known["all"].append(usual - of_all[inside])
        true.append(values[inside])
        drops.append(usual - values[inside])
    if not true:
        return {}
    dropped = np.concatenate(drops)
    said = {}
    for name, values in known.items():
        foreseen = np.concatenate(values)
        warn_from = np.quantile(foreseen[dropped <= DROP], 1 - MOST_FALSE)
        caught = float(np.mean(foreseen[dropped > DROP] > warn_from))
        error = float(np.abs(foreseen - dropped).mean())
        print(
            f"who knows the mean Dice at each setting, of {name}: mean absolute error "
            f"{error:.3f} per image, {caught:.0%} of {np.sum(dropped > DROP)} drops caught with "
            f"{MOST_FALSE:.0%} false alarms, {len(dropped)} images"
        )
        said[f"mean of {name} at each setting known: mean absolute error"] = round(error, 3)
        said[f"mean of {name} at each setting known: drops caught"] = round(caught, 3)
    return said


def fit(options: argparse.Namespace) -> None:
    """Fit to the simulated cases alone; all others only judge."""
    cases = read_cases(options.out)
    fitted = [case for case in cases if case.network.startswith("simulated")]
    others = [case for case in cases if not case.network.startswith("simulated")]
    loo, harder = left_out(fitted), left_out(fitted, changes=True)
    true = np.array([case.true for case in fitted])
    drops = np.array([case.drop for case in fitted])
    lines = fitted_lines(fitted)
    most = np.max([case.features for case in fitted if case.change != "specimen"], 0)
    most = np.where(np.isin(FEATURES, BOUNDED), 1, most)
    most = np.where(np.isin(FEATURES, BOUNDLESS), FAR, most)
    within = np.array([not is_beyond(case, most) for case in fitted])
    # the lowest threshold that keeps false alarms rare, those of what cannot be known among them
    clear = drops <= DROP
    allowed = MOST_FALSE * clear.sum() - np.sum(clear & ~within)
    part = 1 - max(0.0, allowed) / np.sum(clear & within)
    warn_from = round(float(np.quantile(loo[clear & within, 1], part)) + 1e-3, 3)
    model = CalibratedModel(
        with_held_out=lines[0],
        without=lines[1],
        # of kinds of change that were not fitted to: what will come is of no kind of these
        spread=spread_of(harder[within, 0], (true - harder[:, 0])[within]),
        most=tuple(round(float(each), 3) for each in most),
        warn_from=warn_from,
        source="",
        errors={},
    )
    errors = report("simulated, left out", fitted, loo, model)
    errors |= report("simulated, left out with the kind of change", fitted, harder, model)
    found = np.array([expected(lines, case) for case in others]).reshape(-1, 2)
    for family in dict.fromkeys(case.family for case in others):
        here = [place for place, case in enumerate(others) if case.family == family]
        some = [others[place] for place in here]
        errors |= report(f"{family}, never in the fit", some, found[here], model)
    errors |= perfect(options.out)
    model = replace(
        model,
        errors=errors,
        source=(
            f"benchmarks/expected_dice.py: {len({c.network for c in fitted})} networks, "
            f"{len(fitted)} images: of simulated specimens (sample_data/settings.py) at changed "
            "size of pixels, dose, defocus and thickness, and of other specimens"
        ),
    )
    for line, name in ((model.with_held_out, "with"), (model.without, "without")):
        print(name, line.constant, line.of_held_out, dict(zip(FEATURES, line.weights, strict=True)))
    print("warn from", warn_from, "spread", model.spread)
    print("most", dict(zip(FEATURES, model.most, strict=True)))
    if options.write:
        write_text(TABLE, json.dumps(asdict(model), indent=1) + "\n")
    if options.plot:
        draw_plot(options.plot, fitted, loo, others, found)


def ranked(foreseen: np.ndarray, dropped: np.ndarray) -> float:
    """Return how often a drop is foreseen to be larger than that of an image that lost little."""
    more = foreseen[dropped][:, None] - foreseen[~dropped]
    return float(np.mean((more > 0) + 0.5 * (more == 0))) if more.size else float("nan")


def report(
    name: str, cases: list[Case], found: np.ndarray, model: CalibratedModel
) -> dict[str, float]:
    true = np.array([case.true for case in cases])
    drops = np.array([case.drop for case in cases])
    # there the program gives no number but warns
    known = np.array([not is_beyond(case, model.most) for case in cases])
    error = np.abs(found[:, 0] - true)[known].mean()
    means: dict[tuple[str, str], list[int]] = {}
    for place, case in enumerate(cases):
        if known[place]:
            means.setdefault((case.network, case.change), []).append(place)
    together = np.mean([abs(found[i, 0].mean() - true[i].mean()) for i in means.values()])
    usual = np.abs(drops)[known].mean()
    own = np.mean([abs(case.own - case.true) for case in cases])
    warned = (found[:, 1] >= model.warn_from) | ~known
    caught, false, clear = alarms(warned, drops)
    large = warned[drops > LARGE_DROP].mean() if (drops > LARGE_DROP).any() else np.nan
    held = np.mean(
        [
            low <= case.true <= high
            for case, value, is_known in zip(cases, found[:, 0], known, strict=True)
            if is_known
            for low, high in [model.interval(float(value))]
        ]
    )
    networks = len({case.network for case in cases})
    print(
        f"{name}: {networks} networks, {len(cases)} images, {np.sum(~known)} of them too far off "
        f"for a number; mean absolute error {error:.3f} per "
        f"image, {together:.3f} per network and change; the usual Dice would be off by "
        f"{usual:.3f}, the network's own by {own:.3f}; {np.mean(drops > DROP):.0%} drop by more "
        f"than {DROP}: {caught:.0%} caught ({large:.0%} of those by more "
        f"than {LARGE_DROP}), {false:.1%} false alarms ({clear:.1%} of those that "
        f"lost less than {DROP / 2}); {held:.0%} inside the interval; correlation "
        f"{np.corrcoef(found[known, 0], true[known])[0, 1]:.2f}; in "
        f"{ranked(found[:, 1] + 9 * ~known, drops > DROP):.0%} of pairs a "
        "drop is foreseen to be larger than what is none"
    )
    return {
        f"{name}: mean absolute error": round(float(error), 3),
        f"{name}: mean absolute error of a network and change": round(float(together), 3),
        f"{name}: inside the interval": round(float(held), 3),
        f"{name}: drops caught": round(caught, 3) if np.isfinite(caught) else -1.0,
        f"{name}: false alarms": round(false, 3),
    }


def draw_plot(
    path: Path, simulated_: list[Case], loo: np.ndarray, others: list[Case], found: np.ndarray
) -> None:
    from napari_tem_rf.figures import new_figure
    from napari_tem_rf.figures.palette import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION

    figure = new_figure(9.0, 4.4)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    kinds = ("none", "pixel", "dose", "defocus", "thickness", "several", "specimen")
    shades = (BLUE, ORANGE, VERMILLION, PURPLE, GREEN, SKY, "#555555")
    colors = dict(zip(kinds, shades, strict=True))
    for change, color in colors.items():
        here = [i for i, case in enumerate(simulated_) if case.change == change]
        left.plot(loo[here, 0], [simulated_[i].true for i in here], ".", color=color, ms=4,
                  label=change, alpha=0.7)  # fmt: skip
    left.set_title("simulated specimens, left out of the fit", fontsize=9)
    for family, color in zip(REAL, (BLUE, ORANGE, VERMILLION, GREEN, PURPLE), strict=True):
        here = [i for i, case in enumerate(others) if case.family == family]
        if here:
            right.plot(found[here, 0], [others[i].true for i in here], ".", color=color, ms=4,
                       label=family, alpha=0.7)  # fmt: skip
    right.set_title("other sets, never in the fit", fontsize=9)
    for panel in (left, right):
        panel.plot([0, 1], [0, 1], color="#777777", lw=0.8)
        panel.set(
            xlabel="expected Dice", ylabel="true Dice", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02)
        )
        panel.legend(fontsize=7, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("collect", "scatter", "cost", "fit"))
    parser.add_argument("--out", type=Path, default=Path("trust"))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--networks", type=int, default=30, help="on simulated specimens")
    parser.add_argument("--reals", type=int, default=2, help="on each other set")
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--backwards", action="store_true", help="begin with the last network")
    parser.add_argument("--again", action="store_true", help="measure anew, with the same networks")
    parser.add_argument("--write", action="store_true", help="replace the table in the package")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    {"collect": collect, "scatter": scatter, "cost": cost, "fit": fit}[options.what](options)


if __name__ == "__main__":
    main()
