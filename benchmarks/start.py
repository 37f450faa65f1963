"""What the plugin adds to napari's start, and how soon each of its docks is open.

The import of the package; its manifest, which is all that napari reads on its start; napari's start
from nothing to a shown window with the plugin and with the plugin disabled, in turns; then each
dock in a running viewer, its imports included. Everything in processes of their own, with fresh
settings. The last column is what was asked for, where something was. Needs a screen (`xvfb-run`
will do).

    python benchmarks/start.py [--repeats 3]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

PLUGIN = "napari-tem-rf"
WANTED_IMPORT_S, WANTED_DOCK_S = 0.1, 0.5

IMPORT = """
import sys, time
begun = time.perf_counter()
import napari_tem_rf
seconds = time.perf_counter() - begun
"""

MANIFEST = """
import sys, time
from npe2 import PluginManifest
begun = time.perf_counter()
PluginManifest.from_distribution({plugin!r})
seconds = time.perf_counter() - begun
"""

START = """
import sys, time
begun = time.perf_counter()
import napari
from npe2 import PluginManager
viewer = napari.Viewer()
from qtpy.QtWidgets import QApplication
QApplication.processEvents()
seconds = time.perf_counter() - begun
manager = PluginManager.instance()
enabled = not manager.is_disabled({plugin!r})
assert enabled == {enabled}, f"the plugin is {{'on' if enabled else 'off'}}"
assert not [name for name in sys.modules if name.startswith("napari_tem_rf.gui")]
viewer.close()
"""

DOCK = """
import sys, time
import napari
viewer = napari.Viewer()
from qtpy.QtWidgets import QApplication
idle = time.perf_counter() + 1
while time.perf_counter() < idle:
    QApplication.processEvents()
begun = time.perf_counter()
viewer.window.add_plugin_dock_widget({plugin!r}, {dock!r})
QApplication.processEvents()
seconds = time.perf_counter() - begun
assert "torch" not in sys.modules
viewer.close()
"""


def seconds_of(code: str, folder: Path, disabled: bool = False) -> float:
    """Run code in a fresh process with fresh settings and return the seconds that it counted."""
    settings = folder / "settings.yaml"
    # napari takes the settings that are not there as its defaults
    settings.write_text(yaml.safe_dump({"plugins": {"disabled_plugins": [PLUGIN] * disabled}}))
    environment = os.environ | {"NAPARI_CONFIG": str(settings), "XDG_CONFIG_HOME": str(folder)}
    # an installed program is not compiled on each start: the first run may keep what it compiles
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", code + "\nprint('seconds', seconds, flush=True)"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        check=True,
    )
    return next(float(s.split()[1]) for s in done.stdout.splitlines() if s.startswith("seconds"))


def docks() -> list[str]:
    """Return the names of the plugin's docks."""
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution(PLUGIN)
    return [widget.display_name for widget in manifest.contributions.widgets or []]


def row(name: str, seconds: list[float], wanted: float | None = None) -> float:
    median = statistics.median(seconds)
    spread = f"{min(seconds):.3f} to {max(seconds):.3f}"
    asked = "" if wanted is None else f"{wanted:g} s: {'yes' if median < wanted else 'NO'}"
    print(f"{name:36}  {median:8.3f}  {spread:>16}  {asked}", flush=True)
    return median


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    repeats = range(parser.parse_args().repeats)
    print(f"{'':36}  {'median/s':>8}  {'min to max/s':>16}  below what was asked for")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        row("import napari_tem_rf", [seconds_of(IMPORT, folder) for _ in repeats], WANTED_IMPORT_S)
        manifest = MANIFEST.format(plugin=PLUGIN)
        row("read its manifest", [seconds_of(manifest, folder) for _ in repeats])
        starts: dict[bool, list[float]] = {True: [], False: []}
        for _ in repeats:
            for enabled in starts:
                code = START.format(plugin=PLUGIN, enabled=enabled)
                starts[enabled].append(seconds_of(code, folder, disabled=not enabled))
        without = row("napari starts, the plugin disabled", starts[False])
        with_it = row("napari starts, with the plugin", starts[True])
        print(f"{'':36}  {with_it / without:8.3f}  times as long")
        for dock in docks():
            code = DOCK.format(plugin=PLUGIN, dock=dock)
            row(f"dock {dock}", [seconds_of(code, folder) for _ in repeats], WANTED_DOCK_S)


if __name__ == "__main__":
    main()
