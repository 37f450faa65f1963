"""The page of the public functions and classes, by their docstrings."""

import inspect

import napari_tem_rf

__all__ = ["REFERENCE_MARK", "reference_page"]

REFERENCE_MARK = "<!-- reference -->"

SECTIONS = {
    "Images and labels": ("read_micrographs", "read_labels", "write_labels", "Micrograph"),
    "Networks": ("nearest_networks", "receptive_field", "NetworkSpec"),
    "Training and prediction": (
        "train",
        "predict",
        "predict_movie",
        "effective_field",
        "read_run",
        "TrainingPlan",
        "Cleaning",
        "Finishing",
    ),
    "Scores": ("score_image", "score_images"),
    "Handing on": ("share", "adopt"),
}
"""Which name stands in which section; a test says whether one is missing."""


def reference_page() -> str:
    """Return directives for Sphinx's autodoc, section by section."""
    return "\n\n".join(
        f"## {title}\n\n" + "\n\n".join(map(_entry, names)) for title, names in SECTIONS.items()
    )


def _entry(name: str) -> str:
    kind = "autoclass" if inspect.isclass(getattr(napari_tem_rf, name)) else "autofunction"
    return f"```{{eval-rst}}\n.. {kind}:: napari_tem_rf.{name}\n```"
