"""No circle of imports among the files of micrographs, those for types alone counted too."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import napari_tem_rf.micrographs

PACKAGE = "napari_tem_rf.micrographs"


def imported(file):
    """Yield the names of the modules of the package that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            whole = [node.module or "", *(f"{node.module}.{name.name}" for name in node.names)]
        elif isinstance(node, ast.Import):
            whole = [name.name for name in node.names]
        else:
            continue
        for name in whole:
            if name.startswith(f"{PACKAGE}."):
                yield name.removeprefix(f"{PACKAGE}.").partition(".")[0]


def test_files_import_each_other_in_no_circle():
    folder = Path(napari_tem_rf.micrographs.__file__).parent
    files = {file.stem: set(imported(file)) for file in folder.glob("*.py")}
    assert {"rawimage", "trial"} <= files["emd"]
    order = list(TopologicalSorter(files).static_order())  # raises CycleError
    assert order.index("rawimage") < order.index("trial") < order.index("reading")
