"""Uses the installed package as somebody would who has nothing but it.

Run by `packaging/check-dist` from an empty folder, with a screen.
"""

import importlib
import json
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import napari_tem_rf
from napari_tem_rf.samples import sample_folder

SECONDS = 600


def run(*arguments: str | Path) -> str:
    """Run the command line as installed; return what it prints."""
    program = shutil.which("napari-tem-rf", path=sysconfig.get_path("scripts"))
    if program is None:
        sys.exit("napari-tem-rf is not among the scripts of this environment")
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS
    )
    if done.returncode:
        sys.exit(f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def check_place() -> None:
    """Refuse a package that is not the installed one."""
    place = Path(napari_tem_rf.__file__).resolve()
    if Path(sysconfig.get_path("purelib")).resolve() not in place.parents:
        sys.exit(f"napari_tem_rf comes from {place}, not from this environment")
    version = metadata.version("napari-tem-rf")
    if run("--version").strip() != version:
        sys.exit(f"--version does not say {version}")
    if "Usage" not in run("--help"):
        sys.exit("--help says nothing of its use")
    print(f"napari-tem-rf {version} at {place.parent}")


def check_libraries() -> None:
    """Load each library that the package asks for: some were built for another one's versions."""
    modules: dict[str, list[str]] = {}
    for module, distributions in metadata.packages_distributions().items():
        for name in distributions:
            modules.setdefault(plain(name), []).append(module)
    wanted = [line for line in metadata.requires("napari-tem-rf") or () if "extra ==" not in line]
    names = sorted({plain(re.match(r"[\w.-]+", line)[0]) for line in wanted})
    # torch first: on Windows it fails to load after Qt
    for name in sorted(names, key=lambda name: name != "torch"):
        for module in modules[name]:
            if not module.startswith("_"):
                importlib.import_module(module)
    print(f"{len(names)} libraries load")


def plain(name: str) -> str:
    """Return the name of a distribution as all its spellings have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_way() -> None:
    """Train for an epoch on a sample, predict, measure: the demo's way, and short."""
    samples = sample_folder("low_magnification")
    names = sorted(path.stem for path in (samples / "strokes").glob("*.tif"))[:2]
    images = [samples / "images" / f"{name}.tif" for name in names]
    where = ("--labels", samples / "strokes", "--run", "run")
    run("train", *images, *where, "--epochs", "1", "--pools", "2,2", "--filters", "4")
    run("predict", "run", images[0], "--out", "masks")
    said = json.loads(run("measure", f"masks/{names[0]}.tif", "--out", "p.csv", "--json"))
    print(f"trained, predicted, measured: {said['number']} particles")


def check_window() -> None:
    """Napari lists the plugin, opens its samples and each of its docks."""
    import napari

    viewer = napari.Viewer(show=False)
    for key in ("gold_high_resolution", "gold_low_magnification"):
        before = len(viewer.layers)
        viewer.open_sample("napari-tem-rf", key)
        if len(viewer.layers) - before < 6:
            sys.exit(f"the sample {key} opened {len(viewer.layers) - before} layers")
    from npe2 import PluginManager

    widgets = PluginManager.instance().get_manifest("napari-tem-rf").contributions.widgets
    for widget in widgets:
        viewer.window.add_plugin_dock_widget("napari-tem-rf", widget.display_name)
    if "torch" in sys.modules:
        sys.exit("torch was loaded into the window's process")
    print(f"napari {napari.__version__}: {len(viewer.layers)} layers, {len(widgets)} docks")
    viewer.close()


if __name__ == "__main__":
    parts = {
        "place": check_place,
        "libraries": check_libraries,
        "way": check_way,
        "window": check_window,
    }
    if sys.argv[1:]:
        for part in sys.argv[1:]:
            parts[part]()
    else:
        # each in a process of its own: the window must not find torch loaded
        for part in parts:
            if subprocess.run([sys.executable, "-X", "utf8", __file__, part]).returncode:
                sys.exit(f"{part}: see above")
