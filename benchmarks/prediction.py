"""Prediction of a large image: ours, one pass over the whole, OpenVINO, MONAI's sliding window.

For receptive fields of 44, 120 and 392 px with the paper's 8,074 parameters: the time, the peak of
memory beyond the image, and the share of labels that differ from those of the whole pass. The whole
pass is the paper's network in plain torch; MONAI runs the same network (roi 512, overlap 0.25, the
fastest number of windows at a time of 1, 2, 4 and 8 on a quarter of the image). "folded" is one
pass of the network as we prepare it for prediction (batch norms folded into the convs): what
differs there differs by rounding, at pixels whose classes are equally probable, and "tiles" says
how many labels differ between our tiles and that one pass. A second table follows our time and
memory to larger images. Every way runs in a process of its own.

    python benchmarks/prediction.py [--fields 44 120 392] [--side 4096] [--large 8192 16384]
        [--repeats 3] [--device cpu]

With a GPU (`--device cuda`) the memory is the card's, OpenVINO's row is left out, and every way
begins and ends in the computer's memory: the image's way to the card and the labels' way back are
on the clock.

"Ours by torch" is our tiles without the kernels of prediction. MONAI and OpenVINO are no
dependencies: pip install -c constraints.txt monai openvino, or their rows are left out.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

POOLS = {44: (2, 2), 120: (4, 4), 392: (8, 8)}
ROI_PX, OVERLAP, WINDOWS = 512, 0.25, (1, 2, 4, 8)


def micrograph(side: int) -> np.ndarray:
    """Return a standardised image of noise with structure at many lengths, (row, column)."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(5)
    image = sum(gaussian_filter(rng.standard_normal((side, side)), s) * s for s in (0, 2, 8, 30))
    return ((image - image.mean()) / image.std()).astype(np.float32)


def save_network(field: int, pixels: np.ndarray, path: Path) -> None:
    """Save random weights whose norms know the image and whose classes share it half and half.

    With the boundary between the classes through the middle of the logits, labels differ as
    easily as they can.
    """
    import torch
    from paper_unet import PaperUNet

    torch.manual_seed(1)
    network = PaperUNet(POOLS[field])
    side = min(512, *pixels.shape) // 64 * 64
    crop = torch.from_numpy(pixels[:side, :side].copy())[None, None]
    with torch.no_grad():
        for _ in range(40):
            network(crop)
        logits = network.eval()(crop)[0]
        network.head.bias[0] -= (logits[0] - logits[1]).median()
    torch.save(network.state_dict(), path)


def predictor(
    way: str, field: int, weights: Path, device: str
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that turns pixels into labels."""
    import torch
    from paper_unet import PaperUNet

    state = torch.load(weights, weights_only=True)
    if way in ("ours", "torch", "folded"):
        from napari_tem_rf.learning.device import keep_pages
        from napari_tem_rf.learning.fast import compiled
        from napari_tem_rf.learning.fast.network import accelerated, fastest_pass
        from napari_tem_rf.learning.network import Network
        from napari_tem_rf.learning.passes import cheapest_pass
        from napari_tem_rf.learning.prediction import predict
        from napari_tem_rf.networks.spec import NetworkSpec

        network = Network(NetworkSpec(POOLS[field], filters=4))
        network.load_state_dict(state)
        folded = accelerated(network).folded().to(device)
        if way != "folded":
            keep_pages()
            if device == "cpu":
                compiled.warm_up()
            chosen = fastest_pass if way == "ours" else cheapest_pass
            return lambda pixels: predict(folded, pixels, pass_over=chosen).classes
        plain = folded
    else:
        plain = PaperUNet(POOLS[field])
        plain.load_state_dict(state)
        plain.to(device).eval()

    if way == "openvino":
        return by_openvino(field, state)

    def labels(logits) -> np.ndarray:
        return logits[0].argmax(0).to(torch.uint8).cpu().numpy()

    @torch.inference_mode()
    def whole(pixels: np.ndarray) -> np.ndarray:
        return labels(plain(torch.from_numpy(pixels)[None, None].to(device)))

    if way in ("whole", "folded"):
        return whole

    from monai.inferers import sliding_window_inference

    mode, windows = way.split("-")[1:]

    @torch.inference_mode()
    def sliding(pixels: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(pixels)[None, None].to(device)
        return labels(
            sliding_window_inference(
                image, (ROI_PX, ROI_PX), int(windows), plain, overlap=OVERLAP, mode=mode
            )
        )

    return sliding


def by_openvino(field: int, state: dict) -> Callable[[np.ndarray], np.ndarray]:
    """Return what OpenVINO predicts by the graph that is shared, tile by tile."""
    import onnx
    import openvino
    from onnx import TensorProto, helper

    from napari_tem_rf.learning.tiles import cut_tiles
    from napari_tem_rf.networks.receptive_field import receptive_field
    from napari_tem_rf.networks.spec import NetworkSpec
    from napari_tem_rf.sharing import onnx_graph

    graph, spec = onnx_graph._Graph(), NetworkSpec(POOLS[field], filters=4)
    weights = {name: value.numpy() for name, value in state.items()}
    logits = onnx_graph._network(graph, spec, weights)
    sides = ("image", "row", "column")
    of_image, of_classes = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [sides[0], number, *sides[1:]])
        for name, number in (("image", 1), (logits, spec.classes))
    )
    made = helper.make_model(
        helper.make_graph(graph.nodes, "network", [of_image], [of_classes], graph.constants),
        opset_imports=[helper.make_opsetid("", onnx_graph.OPSET)],
        ir_version=8,
    )
    onnx.checker.check_model(made)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    core = openvino.Core()
    network = core.compile_model(core.read_model(made.SerializeToString()), "CPU", settings)

    def tiled(pixels: np.ndarray) -> np.ndarray:
        classes = np.empty(pixels.shape, np.uint8)
        for tile in cut_tiles(pixels.shape, 1024, spec.period, receptive_field(spec).halo):
            (found,) = network(np.ascontiguousarray(pixels[tile.read])[None, None])[0]
            classes[tile.write] = (found[1] > found[0])[tile.keep]
        return classes

    return tiled


class Peak:
    """The most memory that the process holds within the block, beyond what it held before."""

    def __enter__(self) -> "Peak":
        import psutil

        self.process = psutil.Process()
        self.before = self.most = self.process.memory_info().rss
        self.over = threading.Event()
        self.watcher = threading.Thread(target=self.watch)
        self.watcher.start()
        return self

    def watch(self) -> None:
        """Look at the memory every 2 ms."""
        while not self.over.wait(0.002):
            self.most = max(self.most, self.process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.watcher.join()
        self.mib = (self.most - self.before) / 2**20


class CardPeak:
    """The most memory of the GPU within the block, beyond what it held before."""

    def __enter__(self) -> "CardPeak":
        import torch

        torch.cuda.reset_peak_memory_stats()
        self.before = torch.cuda.memory_allocated()
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        self.mib = (torch.cuda.max_memory_allocated() - self.before) / 2**20


def work(
    way: str, field: int, weights: Path, image: Path, labels: Path, repeats: int, device: str
) -> None:
    """Predict an image once for the memory, then for the clock; print the figures."""
    pixels = np.load(image)
    run = predictor(way, field, weights, device)
    with CardPeak() if device == "cuda" else Peak() as peak:
        result = run(pixels)
    np.save(labels, result)
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run(pixels)
        seconds.append(time.perf_counter() - begun)
    print(json.dumps({"seconds": seconds, "mib": peak.mib}))


class Bench:
    """Runs ways in processes of their own; files lie in a folder."""

    def __init__(self, folder: Path, fields: list[int], repeats: int, device: str) -> None:
        self.folder, self.fields, self.repeats, self.device = folder, fields, repeats, device

    def run(self, way: str, field: int, image: Path, repeats: int | None = None) -> dict:
        """Return seconds, MiB and labels of a way."""
        labels = self.folder / "labels.npy"
        command = [sys.executable, __file__, "--repeats", str(repeats or self.repeats)]
        command += [
            "--device",
            self.device,
            "--work",
            way,
            str(field),
            str(self.folder / f"{field}.pt"),
            str(image),
            str(labels),
        ]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(answer.stdout.splitlines()[-1]) | {"labels": np.load(labels)}

    def monai(self, mode: str, field: int, image: Path, quarter: Path) -> dict:
        """Run MONAI with the number of windows that is fastest on a quarter of the image."""
        tried = {
            number: min(self.run(f"monai-{mode}-{number}", field, quarter, 1)["seconds"])
            for number in WINDOWS
        }
        best = min(tried, key=tried.__getitem__)
        return self.run(f"monai-{mode}-{best}", field, image) | {"windows": best}


def seconds_of(result: dict) -> float:
    return statistics.median(result["seconds"])


def compare(bench: Bench, image: Path, quarter: Path) -> None:
    with_monai = importlib.util.find_spec("monai") is not None
    if not with_monai:
        print("MONAI is not installed (pip install -c constraints.txt monai): left out")
    print(
        f"{'field/px':>8}  {'way':28}  {'median/s':>8}  {'min to max/s':>14}  {'ours is':>8}  "
        f"{'MiB':>6}  {'of whole':>8}  labels that differ from the whole pass"
    )
    for field in bench.fields:
        ways = ("whole", "ours", "torch", "folded")
        whole, ours, by_torch, folded = (bench.run(way, field, image) for way in ways)
        rows = {"whole pass": whole, "ours": ours, "ours by torch": by_torch}
        rows["folded, one pass"] = folded
        if bench.device == "cpu" and importlib.util.find_spec("openvino") is not None:
            rows["OpenVINO, tiles of 1024"] = bench.run("openvino", field, image)
        if with_monai:
            for mode in ("gaussian", "constant"):
                result = bench.monai(mode, field, image, quarter)
                rows[f"MONAI {mode}, {result['windows']} windows"] = result
        for name, result in rows.items():
            spread = f"{min(result['seconds']):.2f} to {max(result['seconds']):.2f}"
            differ = int((result["labels"] != whole["labels"]).sum())
            share = f"1/{whole['mib'] / max(result['mib'], 1):.1f}"
            faster = f"{seconds_of(result) / seconds_of(ours):.2f}x"
            note = ""
            if result is ours:
                tiles = int((ours["labels"] != folded["labels"]).sum())
                note = f"; tiles from folded: {tiles}"
            print(
                f"{field:8d}  {name:28}  {seconds_of(result):8.2f}  {spread:>14}  {faster:>8}  "
                f"{result['mib']:6.0f}  {share:>8}  "
                f"{differ} ({100 * differ / whole['labels'].size:.5f} %){note}",
                flush=True,
            )


def follow(bench: Bench, image: Path, sides: list[int]) -> None:
    """Print time and memory of ours on larger images, made of copies of the first."""
    pixels = np.load(image)
    print(f"\n{'field/px':>8}  {'side/px':>7}  {'median/s':>8}  {'ns/px':>6}  MiB without labels")
    for side in sides:
        large = bench.folder / "large.npy"
        copies = -(-side // len(pixels))
        np.save(large, np.tile(pixels, (copies, copies))[:side, :side])
        for field in bench.fields:
            result = bench.run("ours", field, large)
            of_labels = side**2 / 2**20 if bench.device == "cpu" else 0.0
            seconds, mib = seconds_of(result), result["mib"] - of_labels
            each = 1e9 * seconds / side**2
            print(f"{field:8d}  {side:7d}  {seconds:8.2f}  {each:6.1f}  {mib:.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fields", type=int, nargs="+", choices=POOLS, default=list(POOLS))
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--large", type=int, nargs="*", default=[8192])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--work", nargs=5, metavar=("WAY", "FIELD", "WEIGHTS", "IMAGE", "LABELS"))
    options = parser.parse_args()
    if options.work:
        way, field, weights, image, labels = options.work
        work(
            way,
            int(field),
            Path(weights),
            Path(image),
            Path(labels),
            options.repeats,
            options.device,
        )
        return
    print(
        f"{options.side} x {options.side} px, 8,074 parameters, median of {options.repeats}, "
        f"{options.device}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels = micrograph(options.side)
        image, quarter = folder / "image.npy", folder / "quarter.npy"
        np.save(image, pixels)
        np.save(quarter, pixels[: options.side // 2, : options.side // 2])
        for field in options.fields:
            save_network(field, pixels, folder / f"{field}.pt")
        bench = Bench(folder, options.fields, options.repeats, options.device)
        compare(bench, image, quarter)
        follow(bench, image, [options.side, *options.large])


if __name__ == "__main__":
    main()
