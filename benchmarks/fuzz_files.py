"""What the reader says to damaged files: opened, refused with a sentence, or anything else.

Files of ../shared/data/formats, and small files of the other formats written here, are cut off at
any byte, have bytes turned over, sizes made absurd, or are foreign with a wanted ending. Each
mutation is read in a process of its own kind: a pool of readers with a limit of time and memory,
so that a crash or a hang is seen and counted.

Run from the project's root: ``python benchmarks/fuzz_files.py --cases 2400``. Exits with 1 if any
case is neither opened nor refused with a sentence, or takes too long or too much memory.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np

FORMATS = Path(__file__).resolve().parents[2] / "shared" / "data" / "formats"
SEED = 752
SECONDS = 10.0
# what the libraries take for themselves, and the size up to which an image may be packed tightly
FREE_MIB = 300
TIMES_THE_FILE = 4

ABSURD = [
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x00",
    b"\x00\x00\x00\x40",
    b"\x40\x00\x00\x00",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x00\x00\x00\x00\x00\x00\x00\x00",
]


@dataclass(frozen=True, slots=True)
class Case:
    """One mutated file: name, bytes, what was done, and the files that lie beside it."""

    name: str
    data: bytes
    mutation: str
    beside: tuple[Path, ...] = ()


def originals(folder: Path) -> dict[str, tuple[bytes, tuple[Path, ...]]]:
    """Return name -> (bytes, files beside) of the files that are mutated."""
    files: dict[str, tuple[bytes, tuple[Path, ...]]] = {}
    for path in sorted([*FORMATS.glob("*"), *written(folder)]):
        beside: tuple[Path, ...] = ()
        if path.suffix == ".emi":
            beside = (path.with_name(path.stem + "_1.ser"),)
        elif path.suffix == ".ser":
            beside = (path.with_name(path.stem.rpartition("_")[0] + ".emi"),)
        files[path.name] = path.read_bytes(), beside
    return files


def written(folder: Path) -> list[Path]:
    """Write small files of the formats that are not in FORMATS."""
    import h5py
    import mrcfile
    import tifffile
    import zarr
    from PIL import Image

    random_values = np.random.default_rng(SEED)
    image = random_values.integers(0, 4000, (61, 83)).astype(np.uint16)
    stack = random_values.normal(size=(5, 37, 41)).astype(np.float32)
    np.save(folder / "image.npy", image)
    np.save(folder / "stack.npy", stack)
    Image.fromarray(image).save(folder / "image.png")
    Image.fromarray(np.stack([image.astype(np.uint8)] * 3, axis=-1)).save(folder / "colour.png")
    with mrcfile.new(folder / "stack.mrc") as mrc:
        mrc.set_data(stack)
        mrc.voxel_size = 1.7
    with mrcfile.new(folder / "bytes.rec", overwrite=True) as mrc:
        mrc.set_data(image.astype(np.uint8).view(np.int8))
    for compression in (None, "lzw", "zlib", "zstd", "jpeg2000", "packbits"):
        tifffile.imwrite(
            folder / f"{compression}.tif", image, compression=compression, rowsperstrip=11
        )
    tifffile.imwrite(
        folder / "image.ome.tif", stack, metadata={"axes": "TYX", "PhysicalSizeX": 0.1}
    )
    tifffile.imwrite(folder / "tiled.tif", image, tile=(32, 48), compression="zlib")

    def hyperspy(root: "h5py.File | zarr.Group") -> None:
        experiment = root.create_group("Experiments/stack")
        if isinstance(root, h5py.File):
            experiment.create_dataset("data", data=stack, chunks=(1, 37, 41), compression="gzip")
        else:
            array = experiment.create_array(
                "data", shape=stack.shape, dtype=stack.dtype, chunks=(1, 37, 41)
            )
            array[...] = stack
        for number, (name, scale) in enumerate(zip("tyx", (1.0, 0.2, 0.3), strict=True)):
            axis = experiment.create_group(f"axis-{number}")
            axis.attrs.update(
                name=name, scale=scale, units="nm", size=stack.shape[number], navigate=number == 0
            )

    with h5py.File(folder / "berkeley.emd", "w") as file:
        group = file.create_group("data/stack")
        group.attrs["emd_group_type"] = 1
        group.create_dataset("data", data=stack, chunks=(1, 37, 41), compression="gzip")
        for number, name in enumerate("zyx"):
            dim = group.create_dataset(
                f"dim{number + 1}", data=np.arange(stack.shape[number]) * 0.2
            )
            dim.attrs.update(name=np.bytes_(name), units=np.bytes_("[n_m]"))
    with h5py.File(folder / "stack.hspy", "w") as file:
        hyperspy(file)
    store = zarr.storage.ZipStore(folder / "stack.zspy", mode="w")
    with warnings.catch_warnings():
        # zarr writes attributes into a zip a second time
        warnings.simplefilter("ignore", UserWarning)
        hyperspy(zarr.open_group(store, mode="w", zarr_format=2))
        store.close()
    return sorted(folder.iterdir())


def mutations(
    files: dict[str, tuple[bytes, tuple[Path, ...]]], cases: int, seed: int
) -> Iterator[Case]:
    """Yield ``cases`` mutated files, evenly over the files and the kinds of mutation."""
    chance = random.Random(seed)
    kinds = (
        "cut off",
        "bits",
        "bits in front",
        "absurd number",
        "absurd number in front",
        "gap",
        "zeros at end",
        "foreign",
    )
    names = list(files)
    for number in range(cases):
        name = names[number % len(names)]
        kind = kinds[number // len(names) % len(kinds)]
        data, beside = files[name]
        yield Case(name, mutated(data, kind, chance, files), kind, beside)


def mutated(
    data: bytes,
    kind: str,
    chance: random.Random,
    files: dict[str, tuple[bytes, tuple[Path, ...]]],
) -> bytes:
    changed = bytearray(data)
    front = min(len(data), chance.choice((64, 512, 4096)))
    if kind == "cut off":
        return data[: chance.randrange(len(data))]
    if kind in ("bits", "bits in front"):
        end = front if kind == "bits in front" else len(data)
        for _ in range(chance.choice((1, 3, 10, 100))):
            changed[chance.randrange(end)] ^= 1 << chance.randrange(8)
    elif kind in ("absurd number", "absurd number in front"):
        end = front if kind == "absurd number in front" else len(data)
        for _ in range(chance.choice((1, 2, 5))):
            number = chance.choice(ABSURD)
            place = chance.randrange(end)
            changed[place : place + len(number)] = number
    elif kind == "gap":
        start = chance.randrange(len(data))
        del changed[start : start + chance.randrange(1, 5000)]
    elif kind == "zeros at end":
        start = chance.randrange(len(data))
        changed[start:] = bytes(len(data) - start)
    else:
        content = chance.choice(("nothing", "noise", "text", "another format"))
        if content == "nothing":
            return b""
        if content == "noise":
            # behind the first bytes, by which many formats are known
            keep = chance.choice((0, 4, 16))
            return data[:keep] + chance.randbytes(chance.randrange(1, 5000))
        if content == "text":
            return b"time,counts\n1,2\n" * chance.randrange(1, 500)
        return files[chance.choice(list(files))][0]
    return bytes(changed)


def read_one(path: Path) -> tuple[str, str]:
    """Return the outcome of reading one file, pixels and labels included, and what was said."""
    from napari_tem_rf.micrographs.reading import (
        LABEL_ENDINGS,
        ReadingError,
        read_labels,
        read_micrographs,
    )

    try:
        if path.suffix in LABEL_ENDINGS:
            with suppress(ReadingError):
                read_labels(path)
        for micrograph in read_micrographs(path):
            micrograph.frame(0)
            micrograph.frame(micrograph.frames - 1)
    except ReadingError as error:
        sentence = str(error)
        if "\n" in sentence or path.name not in sentence or len(sentence) > 600:
            return "no sentence", sentence
        return "refused", sentence
    except BaseException as error:
        return "other error", f"{type(error).__name__}: {error}"
    return "opened", ""


def reader_process() -> None:
    """Read the files named on stdin, one a line; say how it went on stdout, one JSON a line."""
    import logging

    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
    except (ImportError, ValueError):
        pass
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        path = Path(line.strip())
        before = peak_mib(reset=True)
        start = time.perf_counter()
        outcome, said = read_one(path)
        answer = {
            "outcome": outcome,
            "said": said,
            "seconds": time.perf_counter() - start,
            "mib": peak_mib() - before,
        }
        print(json.dumps(answer), flush=True)


def peak_mib(reset: bool = False) -> float:
    """Return the largest memory so far (with ``reset``: the memory now) in MiB.

    That of the process which opens files on trial counts too.
    """
    from napari_tem_rf.micrographs import trial

    helper = trial._helper._process
    processes = ["self"] if helper is None else ["self", str(helper.pid)]
    kib = 0
    for process in processes:
        try:
            if reset:
                Path("/proc", process, "clear_refs").write_text("5")
            status = Path("/proc", process, "status").read_text()
        except OSError:
            continue
        if "VmHWM:" in status:
            kib += int(status.split("VmHWM:")[1].split()[0])
    return kib / 1024


class Reader:
    """One reading process, started again when it dies or must be ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, path: Path, seconds: float) -> dict[str, object]:
        """Return the outcome of reading a file; the process is ended after ``seconds``."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--reader"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        process = self._process
        hung = threading.Event()

        def end() -> None:
            hung.set()
            process.kill()

        watch = threading.Timer(seconds, end)
        watch.start()
        try:
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            watch.cancel()
        if answer:
            return json.loads(answer)
        code = process.wait()
        outcome = "hang" if hung.is_set() else "crash"
        return {"outcome": outcome, "said": f"exit {code}", "seconds": seconds, "mib": 0.0}

    def close(self) -> None:
        """Let the process end."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for the files that fail")
    parser.add_argument("--reader", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reader:
        reader_process()
        return 0

    readers: SimpleQueue[Reader] = SimpleQueue()
    pool = [Reader() for _ in range(options.readers)]
    counts: dict[str, Counter[str]] = {}
    worst = {"seconds": (0.0, ""), "mib": (0.0, "")}
    failed: list[str] = []
    sentences: set[str] = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "written").mkdir()
        files = originals(folder / "written")
        for reader in pool:
            # the first file of a kind pays for the import of its library
            for original in files:
                source = FORMATS / original
                source = source if source.exists() else folder / "written" / original
                warm = reader.read(source, 60.0)
                wanted = "refused" if "diffraction" in original else "opened"
                assert warm["outcome"] == wanted, (original, warm)
            readers.put(reader)

        def run(numbered: tuple[int, Case]) -> tuple[Case, Path, dict[str, object]]:
            number, case = numbered
            place = folder / str(number)
            place.mkdir()
            path = place / case.name
            path.write_bytes(case.data)
            for file in case.beside:
                shutil.copy(file, place)
            reader = readers.get()
            try:
                return case, path, reader.read(path, SECONDS + 1)
            finally:
                readers.put(reader)

        cases = enumerate(mutations(files, options.cases, options.seed))
        with ThreadPoolExecutor(options.readers) as threads:
            for case, path, answer in threads.map(run, cases):
                outcome = str(answer["outcome"])
                seconds, mib = float(answer["seconds"]), float(answer["mib"])
                limit = FREE_MIB + TIMES_THE_FILE * len(case.data) / 2**20
                if outcome in ("opened", "refused"):
                    if seconds > SECONDS:
                        outcome = "too slow"
                    elif mib > limit:
                        outcome = "too much memory"
                sentences.add(str(answer["said"]))
                ending = path.suffix
                counts.setdefault(ending, Counter())[outcome] += 1
                what = f"{case.name}, {case.mutation}"
                worst["seconds"] = max(worst["seconds"], (seconds, what))
                worst["mib"] = max(worst["mib"], (mib, what))
                if outcome not in ("opened", "refused"):
                    failed.append(f"{outcome}: {what}: {answer['said']}")
                    if options.keep:
                        options.keep.mkdir(parents=True, exist_ok=True)
                        shutil.copy(path, options.keep / f"{len(failed)}-{case.name}")
                shutil.rmtree(path.parent)
        for reader in pool:
            reader.close()

    total: Counter[str] = sum(counts.values(), Counter())
    print(f"{'ending':8} {'files':>6} {'opened':>7} {'refused':>8} {'else':>5}")
    for ending, count in sorted({**counts, "all": total}.items()):
        good = count["opened"] + count["refused"]
        print(
            f"{ending:8} {count.total():6} {count['opened']:7} {count['refused']:8} "
            f"{count.total() - good:5}"
        )
    print(f"slowest {worst['seconds'][0]:.2f} s ({worst['seconds'][1]})")
    print(f"most memory {worst['mib'][0]:.0f} MiB above the reader's own ({worst['mib'][1]})")
    print("\n".join(failed))
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        (options.keep / "sentences.txt").write_text("\n".join(sorted(sentences)))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
