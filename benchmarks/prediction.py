"""Prediction by exact tiles against one pass over the whole image.

Prints, for receptive fields of 44, 120 and 392 px with the paper's 8,074 parameters, how long each
takes, how much memory it needs beyond the image, and how many labels differ. Each way runs in a
process of its own, so that peak memory is its own.

    python benchmarks/prediction.py [--side 4096] [--repeats 3]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

POOLS = {44: (2, 2), 120: (4, 4), 392: (8, 8)}


def micrograph(side: int) -> np.ndarray:
    """Return a standardised image of noise with structure at many lengths, (row, column)."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(5)
    image = sum(gaussian_filter(rng.standard_normal((side, side)), s) * s for s in (0, 2, 8, 30))
    return ((image - image.mean()) / image.std()).astype(np.float32)


def peak_mib() -> float:
    """Return the peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(way: str, field: int, image: Path, labels: Path, repeats: int) -> None:
    import torch

    from napari_tem_rf.learning.device import keep_pages
    from napari_tem_rf.learning.network import Network
    from napari_tem_rf.learning.prediction import predict
    from napari_tem_rf.networks.spec import NetworkSpec

    pixels = np.load(image)
    torch.manual_seed(1)
    network = Network(NetworkSpec(POOLS[field], filters=4))
    warm_up_norms(network, pixels)
    if way == "tiles":
        keep_pages()
        network = network.folded()
    before = peak_mib()
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        if way == "tiles":
            result = predict(network, pixels).classes
        else:
            with torch.inference_mode():
                logits = network(torch.from_numpy(pixels)[None, None])
                result = logits[0].argmax(0).to(torch.uint8).numpy()
        seconds.append(time.perf_counter() - begun)
    np.save(labels, result)
    print(json.dumps({"seconds": seconds, "mib": peak_mib() - before}))


def warm_up_norms(network, pixels: np.ndarray) -> None:
    """Give the batch norms statistics of the image, and both classes half of the pixels."""
    import torch

    crops = torch.from_numpy(pixels[:512, :512])[None, None]
    with torch.no_grad():
        network.train()
        for _ in range(40):
            network(crops)
        network.eval()
        logits = network(crops)[0]
        network.head.bias[0] -= (logits[0] - logits[1]).median()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", nargs=4, metavar=("WAY", "FIELD", "IMAGE", "LABELS"))
    options = parser.parse_args()
    if options.work:
        way, field, image, labels = options.work
        work(way, int(field), Path(image), Path(labels), options.repeats)
        return
    print(f"{options.side} x {options.side} px, 8,074 parameters, median of {options.repeats}")
    print("field/px  whole/s  tiles/s  ratio  whole/MiB  tiles/MiB  ratio  labels that differ")
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.npy"
        np.save(image, micrograph(options.side))
        for field in POOLS:
            took = {}
            for way in ("whole", "tiles"):
                labels = Path(folder) / f"{way}.npy"
                command = [sys.executable, __file__, "--repeats", str(options.repeats)]
                command += ["--work", way, str(field), str(image), str(labels)]
                answer = subprocess.run(command, capture_output=True, text=True, check=True)
                took[way] = json.loads(answer.stdout)
            whole, tiles = (np.load(Path(folder) / f"{way}.npy") for way in ("whole", "tiles"))
            differ = int((whole != tiles).sum())
            t_whole, t_tiles = (statistics.median(took[w]["seconds"]) for w in ("whole", "tiles"))
            m_whole, m_tiles = took["whole"]["mib"], took["tiles"]["mib"]
            print(
                f"{field:8d}  {t_whole:7.2f}  {t_tiles:7.2f}  {t_whole / t_tiles:5.2f}  "
                f"{m_whole:9.0f}  {m_tiles:9.0f}  {m_whole / m_tiles:5.1f}  "
                f"{differ} of {whole.size} (class 1: {whole.mean():.0%})",
                flush=True,
            )


if __name__ == "__main__":
    main()
