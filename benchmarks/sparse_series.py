"""Series of frames in each format, made sparse on disk: of any length in no time.

Run as a program it measures the memory that predicting such a series takes: the peak of each
process, and how it grows from frame to frame, from the command line and from the window.

    python benchmarks/sparse_series.py --frames 20 --way cli
    xvfb-run -a python benchmarks/sparse_series.py --frames 20 --way window
"""

import argparse
import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

__all__ = ["SERIES"]


def mrc(path: Path, shape: tuple[int, int, int], pixel_size_nm: float) -> None:
    header = bytearray(1024)
    frames, rows, columns = shape
    struct.pack_into("<4i", header, 0, columns, rows, frames, 1)
    struct.pack_into("<3i", header, 28, columns, rows, frames)
    cell = (columns * pixel_size_nm * 10, rows * pixel_size_nm * 10, frames)
    struct.pack_into("<3f", header, 40, *cell)
    header[208:214] = b"MAP DD"
    path.write_bytes(header)
    _extend(path, shape)


def npy(path: Path, shape: tuple[int, int, int], pixel_size_nm: float) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<i2", "fortran_order": False, "shape": shape}
        )
    _extend(path, shape)


def pixels_per_cm(pixel_size_nm: float) -> tuple[int, int]:
    """Return a fraction of 32-bit numbers, which older tifffiles do not find by themselves."""
    per_cm = 1e7 / pixel_size_nm
    below = max(1, int((2**32 - 1) // per_cm))
    return round(below * per_cm), below


def tiff_contiguous(path: Path, shape: tuple[int, int, int], pixel_size_nm: float) -> None:
    import tifffile

    per_cm = pixels_per_cm(pixel_size_nm)
    mapped = tifffile.memmap(
        path,
        shape=shape,
        dtype="<i2",
        bigtiff=math.prod(shape) * 2 > 2**31,
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
    )
    del mapped


def tiff_pages(path: Path, shape: tuple[int, int, int], pixel_size_nm: float) -> None:
    """Write compressed pages; the empty frame is compressed once."""
    import imagecodecs
    import tifffile

    packed = imagecodecs.zlib_encode(np.zeros(shape[1:], "<i2").tobytes(), level=1)
    per_cm = pixels_per_cm(pixel_size_nm)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(
            (packed for _ in range(shape[0])),
            shape=shape,
            dtype="<i2",
            compression="zlib",
            rowsperstrip=shape[1],
            resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
        )


def ser(path: Path, shape: tuple[int, int, int], pixel_size_nm: float) -> None:
    frames, rows, columns = shape
    dimension = struct.pack("<IddIII", frames, 0.0, 1.0, 0, 0, 0)
    table = 34 + len(dimension)
    first = table + frames * 8 * 2
    step = 50 + rows * columns * 2
    head = struct.pack(
        "<HHHIIIIQI", 0x4949, 0x0197, 0x0220, 0x4122, 0x4152, frames, frames, table, 1
    )
    offsets = [first + frame * step for frame in range(frames)]
    metres = pixel_size_nm * 1e-9
    element = struct.pack("<ddIddIHII", 0, metres, 0, 0, metres, 0, 5, columns, rows)
    with path.open("wb") as file:
        file.write(head + dimension + np.array(offsets * 2, "<u8").tobytes())
        for offset in offsets:
            file.seek(offset)
            file.write(element)
        file.truncate(first + frames * step)


def digital_micrograph(path: Path, shape: tuple[int, int, int], pixel_size_nm: float) -> None:
    """Write the tags of a DM4 file that hold one series, as in Gatan's own files."""

    def named(kind: int, name: str) -> bytes:
        return struct.pack(">BH", kind, len(name)) + name.encode()

    def group_front(name: str, tags: int) -> bytes:
        return named(20, name) + struct.pack(">QBBQ", 0, 0, 0, tags)

    def group(name: str, *tags: bytes) -> bytes:
        return group_front(name, len(tags)) + b"".join(tags)

    def data(name: str, declaration: tuple[int, ...], body: bytes) -> bytes:
        numbers = struct.pack(f">Q{len(declaration)}Q", len(declaration), *declaration)
        return named(21, name) + bytes(8) + b"%%%%" + numbers + body

    def number(name: str, value: int) -> bytes:
        return data(name, (5,), struct.pack("<I", value))

    def calibration(name: str, scale: float, unit: str) -> bytes:
        return group(
            name,
            data("Origin", (6,), struct.pack("<f", 0)),
            data("Scale", (6,), struct.pack("<f", scale)),
            data("Units", (20, 4, len(unit)), unit.encode("utf-16-le")),
        )

    # DigitalMicrograph counts axes from the fastest
    axes = [calibration("", pixel_size_nm, "nm")] * 2 + [calibration("", 1.0, "s")]
    values = math.prod(shape)
    front = b"".join(
        (
            struct.pack(">IQI", 4, 0, 1),
            struct.pack(">BBQ", 0, 0, 1),
            group_front("ImageList", 1),
            group_front("", 3),
            group_front("ImageData", 4),
            group(
                "Calibrations",
                calibration("Brightness", 1.0, ""),
                group("Dimension", *axes),
            ),
            number("DataType", 1),
            group("Dimensions", *(number("", length) for length in shape[::-1])),
            data("Data", (20, 2, values), b""),
        )
    )
    name = "series"
    tail = group("ImageTags") + data("Name", (20, 4, len(name)), name.encode("utf-16-le"))
    with path.open("wb") as file:
        file.write(front)
        file.seek(values * 2, 1)
        file.write(tail + bytes(8))


def hspy(path: Path, shape: tuple[int, int, int], pixel_size_nm: float) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        experiment = file.create_group("Experiments/series")
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple(shape)
        h5py.h5d.create(experiment.id, b"data", h5py.h5t.STD_I16LE, space, layout)
        for number, name in enumerate("tyx"):
            axis = experiment.create_group(f"axis-{number}")
            scale = 1.0 if name == "t" else pixel_size_nm
            axis.attrs.update(
                name=name, scale=scale, units="nm", size=shape[number], navigate=name == "t"
            )


def _extend(path: Path, shape: tuple[int, int, int]) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + math.prod(shape) * 2)


SERIES = {
    "series.mrc": mrc,
    "series.npy": npy,
    "contiguous.tif": tiff_contiguous,
    "pages.tif": tiff_pages,
    "series.ser": ser,
    "series.dm4": digital_micrograph,
    "series.hspy": hspy,
}
"""File name -> function that writes a series of zeros of 16 bits (path, shape, pixel size)."""


# memory while predicting

WINDOW = """
import sys, threading, time
from pathlib import Path
import napari
from napari_tem_rf.gui.manifest import read_layers
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.gui.segment.result import ExportWidget
viewer = napari.Viewer()
series, run, home = sys.argv[1:]
session_of(viewer).runs_folder = Path(home)
widget = ExportWidget(viewer)
viewer.window.add_dock_widget(widget)
data, attributes, _ = read_layers(series)[0]
viewer.add_image(data, **attributes)
widget.open_run(Path(run))
widget.all_button.click()
napari.run()
"""


def make_run(folder: Path) -> None:
    """Write a run of an untrained network: memory does not ask what the weights are."""
    from napari_tem_rf.learning.network import Network
    from napari_tem_rf.micrographs.annotation import Classes
    from napari_tem_rf.micrographs.cleaning import Cleaning
    from napari_tem_rf.networks.spec import NetworkSpec
    from napari_tem_rf.protocol import TrainingPlan
    from napari_tem_rf.runs import RunRecord, create_run

    spec = NetworkSpec(pools=(2, 2), filters=4)
    classes = Classes((0, 1), ("background", "particle"), ("", ""))
    record = RunRecord(
        "sparse",
        spec,
        TrainingPlan(),
        classes,
        "background",
        Cleaning(),
        None,
        (),
        state="finished",
    )
    weights = {name: value.numpy() for name, value in Network(spec).state_dict().items()}
    create_run(folder, record, {}).write_weights(weights)


def family(pid: int) -> dict[int, str]:
    """Return a process and all that it started, with their command lines."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                name = (entry / "comm").read_text().strip()
            except OSError:
                continue
            parents[int(entry.name)], names[int(entry.name)] = int(stat[1]), f"{name}: {line}"
    found, last = {pid}, 0
    while len(found) > last:
        last = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return {each: names[each] for each in found if each in names}


def memory_mib(pid: int) -> tuple[float, float]:
    """Return the memory that a process takes now, and its peak, in MiB."""
    try:
        status = (Path("/proc") / str(pid) / "status").read_text()
        return tuple(int(status.split(key)[1].split()[0]) / 1024 for key in ("VmRSS:", "VmHWM:"))
    except (OSError, IndexError):
        return 0.0, 0.0


def watch(command: list[str], parts: Path, frames: int, seconds: float) -> None:
    """Run a prediction until so many frames are on disk; print memory as it goes on."""
    begun = time.monotonic()
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    peaks: dict[int, float] = {}
    names: dict[int, str] = {}
    now: dict[int, float] = {}
    done, said = 0, -1
    print(f"{'frames':>6} {'s':>7} {'all processes MiB':>18}")
    try:
        while done < frames and process.poll() is None and time.monotonic() - begun < seconds:
            time.sleep(0.2)
            names |= family(process.pid)
            for pid in names:
                now[pid], peak = memory_mib(pid)
                peaks[pid] = max(peaks.get(pid, 0.0), peak)
            done = len(list(parts.glob("*.npz"))) if parts.is_dir() else done
            if done > said and (done < 5 or done % 10 == 0 or done >= frames):
                said = done
                print(f"{done:6} {time.monotonic() - begun:7.1f} {sum(now.values()):18.0f}")
    finally:
        # with its workers: they are of its own session
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
    for pid, peak in sorted(peaks.items(), key=lambda item: -item[1]):
        if peak > 50:
            print(f"peak {peak:7.0f} MiB  {' '.join(names[pid].split())[:60]}")
    print(f"{done} frames, {seconds if done < frames else time.monotonic() - begun:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20, help="frames to predict")
    parser.add_argument("--length", type=int, default=1000, help="frames of the series")
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--way", choices=("cli", "window"), default="cli")
    parser.add_argument("--seconds", type=float, default=3600.0, help="give up after so long")
    options = parser.parse_args()
    shape = options.length, options.side, options.side
    print(f"{shape[0]} frames of {shape[1]} x {shape[2]}, 16 bits, from the {options.way}")
    with tempfile.TemporaryDirectory() as home:
        series, run, out = (Path(home) / name for name in ("series.mrc", "run", "out"))
        mrc(series, shape, 0.02)
        make_run(run)
        if options.way == "cli":
            entry = "from napari_tem_rf.cli import main; main()"
            command = [sys.executable, "-c", entry, "predict", str(run), str(series)]
            command += ["--out", str(out)]
            parts = out / "series.tif.parts"
        else:
            command = [sys.executable, "-c", WINDOW, str(series), str(run), home]
            parts = Path(home) / "run_masks" / "series.ome.zarr.parts"
        watch(command, parts, options.frames, options.seconds)


if __name__ == "__main__":
    main()
