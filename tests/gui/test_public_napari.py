"""What the window asks of napari is public: the next version of napari may change the rest."""

import ast
from collections import Counter
from pathlib import Path

GUI = Path(__file__).resolve().parents[2] / "src" / "napari_tem_rf" / "gui"

KNOWN = Counter(
    {
        # how many strokes can be undone: napari has no public word for it
        "layers/layers.py: ._undo_history": 1,
        "layers/layers.py: ._redo_history": 1,
        # the plane that is shown may be loaded already: one that is read anew takes long
        "session/label_counts.py: ._data_slice": 1,
        # the process ends without it where software draws
        'layers/removal.py: "_qt_viewer"': 1,
        # an overlay of our own in the scene; napari draws only its own in public
        "layers/boxes.py: import napari._vispy.utils.visual": 1,
        "layers/boxes.py: import napari._vispy.overlays.base": 1,
        "layers/boxes.py: import napari._vispy.utils.gl": 1,
        "layers/boxes.py: import napari._vispy.visuals.text": 1,
        "layers/boxes.py: super()._on_visible_change": 1,
    }
)
"""What is private all the same, and why."""


def own_names(tree: ast.Module) -> set[str]:
    """Return the private attributes that a module gives to what it makes itself."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in ("self", "cls"):
                names.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if is_private(name)}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_uses() -> Counter[str]:
    """Return what is asked of others in private, by file."""
    trees = {path: ast.parse(path.read_text()) for path in sorted(GUI.rglob("*.py"))}
    ours = set().union(*map(own_names, trees.values()))
    found: Counter[str] = Counter()
    for path, tree in trees.items():
        place = path.relative_to(GUI).as_posix()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                on = node.value
                if isinstance(on, ast.Call) and ast.unparse(on) == "super()":
                    found[f"{place}: super().{node.attr}"] += 1
                elif node.attr not in ours:
                    found[f"{place}: .{node.attr}"] += 1
            elif isinstance(node, ast.ImportFrom) and any(
                map(is_private, (node.module or "").split("."))
            ):
                if (node.module or "").startswith("napari."):
                    found[f"{place}: import {node.module}"] += 1
            elif (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) == "getattr"
                and isinstance(node.args[1], ast.Constant)
                and is_private(str(node.args[1].value))
                and node.args[1].value not in ours
            ):
                found[f'{place}: "{node.args[1].value}"'] += 1
    return found


def test_nothing_private_of_napari_is_used_but_what_is_known() -> None:
    assert private_uses() == KNOWN
