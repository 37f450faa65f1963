"""What readers, shared runs and records say to files that nobody thought of.

Guided by coverage (atheris, on libFuzzer): each target begins with small files of our own writers,
changes their bytes, keeps what comes by lines that were not reached before, and goes on from there.
A file is opened or refused with one sentence; anything else is a fault, counted once for each place
in the code and kept in ``build/fuzz/found``. Corpora stay in ``build/fuzz/corpus`` and grow from
one time to the next. `fuzz_files.py` asks the same of damaged files of real microscopes, with
limits of memory.

Run by ``make fuzz``, from the environment that it makes. Leaves with 1 where a fault was found.

    python benchmarks/fuzz.py [--seconds 60] [--targets tif run.json ...]
"""

import argparse
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "fuzz"
IMAGES = ("npy", "png", "tif", "mrc", "emd", "hspy", "zspy", "dm3", "dm4", "ser")
LONGEST_BYTES = 40_000
LONGEST_S = 300
"""By the clock: on a machine that does much else, a try may wait for most of it."""
MOST_MIB = 3_000

Check = Callable[[Path], None]


class FaultError(Exception):
    """A file was neither opened nor refused with a sentence."""


# what is done with a file


def check_image(path: Path) -> None:
    """Read pixels and, where the ending has them, labels."""
    from fuzz_files import read_one

    outcome, said = read_one(path)
    if outcome not in ("opened", "refused"):
        raise FaultError(f"{outcome}: {said}")


def check_outlines(path: Path) -> None:
    """Read outlines, and draw them."""
    from napari_tem_rf.micrographs.outline_files import holds_outlines, read_outlines
    from napari_tem_rf.micrographs.outlines import legend_of
    from napari_tem_rf.micrographs.rawimage import ReadingError

    holds_outlines(path)
    with suppress(ReadingError):
        read = read_outlines(path)
        read.labels((61, 83), legend_of(read.outlines))


def check_run(path: Path) -> None:
    """Open a run folder whose record the file is."""
    from napari_tem_rf.runs import RunError, read_run, record_json

    with suppress(RunError):
        record_json(read_run(path.parent).record)


def check_comparison(path: Path) -> None:
    """Open a comparison whose record the file is."""
    from napari_tem_rf.comparison.record import read_comparison
    from napari_tem_rf.runs import RunError

    with suppress(RunError):
        read_comparison(path.parent)


def check_memory(path: Path) -> None:
    """Recall what is remembered of an image, and the settings: neither may raise."""
    from napari_tem_rf import image_memory, settings
    from napari_tem_rf.provenance import read_provenance

    os.environ["TEM_RF_CONFIG"] = str(path)
    settings.read_settings()
    memory = image_memory.memory_folder()
    memory.mkdir(exist_ok=True)
    held = memory / image_memory._path("0" * 12).name
    shutil.copy(path, held)
    image_memory.recall("0" * 12)
    mask = path.with_name("mask.tif")
    provenance = path.with_name("mask.provenance.json")
    shutil.copy(path, provenance)
    read_provenance(mask)


def check_archive(path: Path) -> None:
    """Open the zip of a run."""
    from napari_tem_rf.run_archive import is_run_archive
    from napari_tem_rf.runs import RunError, read_run

    os.environ["TEM_RF_CACHE"] = str(path.with_name("cache"))
    if is_run_archive(path):
        with suppress(RunError):
            read_run(path).read_weights()


def check_tensors(path: Path) -> None:
    """Read somebody's weights, and look for a network in them."""
    from napari_tem_rf.learning.tensor_files import TensorFileError, read_tensors
    from napari_tem_rf.networks.recognition import UnknownNetworkError, recognise

    with suppress(TensorFileError):
        for part in read_tensors(path).parts.values():
            with suppress(UnknownNetworkError):
                recognise(part)


TARGETS: dict[str, tuple[str, Check]] = {
    **{ending: (f"image.{ending}", check_image) for ending in IMAGES},
    "geojson": ("image.geojson", check_outlines),
    "roi": ("image.roi", check_outlines),
    "rois.zip": ("image.zip", check_outlines),
    "run.json": ("run.json", check_run),
    "comparison.json": ("comparison.json", check_comparison),
    "memory.json": ("settings.json", check_memory),
    "run.zip": ("run.zip", check_archive),
    "tensors": ("weights.pt", check_tensors),
}
"""Name of the file, and what is done with it."""


# what it begins with


def seeds(folder: Path) -> dict[str, list[bytes]]:
    """Return small files of our own writers for each target."""
    from fuzz_files import written

    found: dict[str, list[bytes]] = {name: [] for name in TARGETS}
    images = folder / "images"
    images.mkdir()
    for path in written(images):
        ending = path.suffix[1:].replace("rec", "mrc")
        if ending in found and path.stat().st_size <= LONGEST_BYTES:
            found[ending].append(path.read_bytes())
    # no library writes them: what such a file begins with
    found["dm3"].append(bytes.fromhex("00000003 00000100 00000001 01 00 00000001"))
    found["dm4"].append(bytes.fromhex("00000004 0000000000000100 00000001 01 00 0000000000000001"))
    found["ser"].append(bytes.fromhex("4949 9701 1002 22410000 52410000 01000000 01000000"))
    write_outlines(folder, found)
    write_records(folder, found)
    return found


def write_outlines(folder: Path, found: dict[str, list[bytes]]) -> None:
    """Add outlines of two particles, one with a hole."""
    from napari_tem_rf.micrographs.geojson import write_geojson
    from napari_tem_rf.micrographs.imagej_rois import write_rois
    from napari_tem_rf.micrographs.instance_images import InstanceImage

    labels = np.zeros((61, 83), np.uint16)
    labels[5:20, 7:30], labels[10:14, 12:18] = 1, 0
    labels[30:50, 40:47] = 2
    for name, write in (("geojson", write_geojson), ("rois.zip", write_rois)):
        path = folder / TARGETS[name][0]
        write(path, [InstanceImage("gold.tif", labels)], {1: "particle"})
        found[name].append(path.read_bytes())
    with zipfile.ZipFile(folder / TARGETS["rois.zip"][0]) as rois:
        found["roi"] += [rois.read(name) for name in rois.namelist()[:2]]


def write_records(folder: Path, found: dict[str, list[bytes]]) -> None:
    """Add a run, its zip, its weights, and what is remembered."""
    import safetensors.numpy

    from napari_tem_rf.learning.network import random_network
    from napari_tem_rf.learning.tensor_files import torch_file
    from napari_tem_rf.micrographs.annotation import Classes
    from napari_tem_rf.micrographs.cleaning import Cleaning
    from napari_tem_rf.networks.spec import NetworkSpec
    from napari_tem_rf.protocol import TrainingPlan
    from napari_tem_rf.run_archive import pack_run
    from napari_tem_rf.run_record import RunRecord
    from napari_tem_rf.runs import create_run

    spec = NetworkSpec((2,), filters=1)
    record = RunRecord(
        name="gold",
        spec=spec,
        plan=TrainingPlan(),
        classes=Classes((1, 2), ("background", "particle"), ("#0072b2", "#e69f00")),
        unlabelled="ignore",
        cleaning=Cleaning(),
        pixel_size_nm=(0.0178, 0.0179),
        data=(),
        split={"kind": "blocks", "sentence": "a block"},
        scores={"dice": 0.875},
    )
    run = create_run(folder / "run", record, {}).folder
    arrays = {name: value.numpy() for name, value in random_network(spec, 752).state_dict().items()}
    weights = safetensors.numpy.save(arrays)
    (run / "weights.safetensors").write_bytes(weights)
    files = {name: run / name for name in ("run.json", "weights.safetensors")}
    pack_run(folder / "run.zip", "gold", files)
    found["run.json"] += [
        (run / "run.json").read_bytes(),
        json.dumps({**json.loads((run / "run.json").read_text()), "state": "running"}).encode(),
    ]
    found["run.zip"].append((folder / "run.zip").read_bytes())
    found["tensors"] += [weights, torch_file(arrays)]
    found["comparison.json"].append(b'{"format": 1, "plan": {}, "images": [], "classes": {}}')
    found["memory.json"] += [
        b'{"runs_folder": "/tmp", "scheduler": "", "tour": "seen"}',
        b'{"name": "gold", "pixel_size_nm": [0.1, 0.1], "runs": ["/tmp/run"], "strokes_px": 7}',
        b'{"run": {"name": "gold"}, "source": {"sha256": "ab"}}',
    ]


# one target, in a process of its own


def fuzz(name: str, arguments: list[str]) -> None:
    """Try files until libFuzzer ends the process; note each fault once."""
    import atheris

    with atheris.instrument_imports(include=["napari_tem_rf"]):
        import napari_tem_rf.comparison.record
        import napari_tem_rf.learning.tensor_files
        import napari_tem_rf.micrographs.outline_files
        import napari_tem_rf.micrographs.reading
        import napari_tem_rf.run_archive  # noqa: F401

    logging.disable(logging.CRITICAL)
    file_name, check = TARGETS[name]
    # in memory where there is such a place: a file is written for each try
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=shared if shared.is_dir() else None))
    known: set[str] = set()

    def one(data: bytes) -> None:
        path = folder / file_name
        path.write_bytes(data)
        try:
            check(path)
        except Exception as error:
            note(name, data, error, known)

    try:
        atheris.Setup([sys.argv[0], *arguments], one)
        atheris.Fuzz()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def note(name: str, data: bytes, error: Exception, known: set[str]) -> None:
    """Keep a file that made a fault, the first for each place and kind."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    said = re.sub(r"\d+", "0", str(error).partition("\n")[0])[:160]
    key = f"{type(error).__name__} at {place}: {said}"
    if key in known:
        return
    known.add(key)
    found = PLACE / "found"
    found.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()[:12]
    (found / f"{name}-{digest}").write_bytes(data)
    words = "".join(traceback.format_exception(error))
    (found / f"{name}-{digest}.txt").write_text(f"{key}\n\n{words}")


# all of them


def run(name: str, seconds: int) -> tuple[int, int, int, str]:
    """Return how many files a target tried, how many it keeps, its faults, and how it ended."""
    corpus = PLACE / "corpus" / name
    found = PLACE / "found"
    found.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            sys.executable,
            __file__,
            "--one",
            name,
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST_BYTES}",
            f"-timeout={LONGEST_S}",
            f"-rss_limit_mb={MOST_MIB}",
            f"-artifact_prefix={found}/{name}-",
            "-print_final_stats=1",
            str(corpus),
        ],
        capture_output=True,
        text=True,
        errors="replace",
    )
    tries = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    faults = len(list(found.glob(f"{name}-*.txt")))
    ended = "" if done.returncode == 0 else f"ended with {done.returncode}"
    if ended:
        (PLACE / f"{name}.log").write_text(done.stdout[-20_000:] + done.stderr[-20_000:])
    return int(tries[1]) if tries else 0, len(list(corpus.iterdir())), faults, ended


def main() -> int:
    """Fuzz the targets one after another and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    options = parser.parse_args()
    shutil.rmtree(PLACE / "found", ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        for target, files in seeds(Path(name)).items():
            corpus = PLACE / "corpus" / target
            corpus.mkdir(parents=True, exist_ok=True)
            for data in files:
                (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    print(f"{'target':<18}{'files tried':>12}{'kept':>7}{'faults':>8}")
    bad = False
    for target in options.targets:
        tries, kept, faults, ended = run(target, options.seconds)
        bad |= bool(faults or ended or not tries)
        print(f"{target:<18}{tries:>12,}{kept:>7,}{faults:>8}  {ended}", flush=True)
    for path in sorted((PLACE / "found").glob("*.txt")):
        print(f"{path.stem}: {path.read_text().partition(chr(10))[0]}")
    return int(bad)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main())
