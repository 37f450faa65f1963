"""Seconds and memory to open a long series, and to read one of its frames, format by format.

The files are sparse: run from the project's root ``python benchmarks/open_series.py`` with a
folder on a disk that knows holes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from sparse_series import SERIES

MEASURE = """
import json, sys, time
import numpy, dask.array, h5py, tifffile
from importlib.util import find_spec
if find_spec("rsciio"):
    import rsciio.digitalmicrograph, rsciio.emd
from napari_tem_rf.micrographs.reading import read_micrographs

def mib():
    status = open("/proc/self/status").read()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024

before, start = mib(), time.perf_counter()
(series,) = read_micrographs(sys.argv[1])
opened, memory = time.perf_counter() - start, mib() - before
start = time.perf_counter()
series.frame(series.frames // 2)
print(json.dumps([opened, memory, time.perf_counter() - start, series.pixels.shape,
                  series.pixel_size_nm and series.pixel_size_nm[0]]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--side", type=int, default=4096)
    options = parser.parse_args()
    shape = options.frames, options.side, options.side
    print(f"{shape[0]} frames of {shape[1]} x {shape[2]}, 16 bits")
    print(f"{'file':16} {'open s':>7} {'MiB':>6} {'frame s':>8} {'nm a pixel':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for name, write in SERIES.items():
            path = Path(folder) / name
            write(path, shape, 0.0177)
            run = subprocess.run(
                [sys.executable, "-c", MEASURE, str(path)],
                check=True,
                capture_output=True,
                text=True,
            )
            seconds, memory, frame, read, size = json.loads(run.stdout)
            assert tuple(read) == shape
            print(f"{name:16} {seconds:7.2f} {memory:6.1f} {frame:8.3f} {size or 'none':>11}")
            path.unlink()


if __name__ == "__main__":
    main()
