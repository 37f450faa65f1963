"""What a worker loads ahead, or behind its first answers, so that no job has to wait for it.

Importing this loads no PyTorch: the early worker has none.
"""

from importlib import import_module

import numpy as np

from napari_tem_rf.learning.fast import compiled

__all__ = ["get_ready", "load"]


def load(role: str) -> None:
    """Load what workers of a role share, in the process of which they are copies.

    Parameters
    ----------
    role : {"early", "quick", "training"}
    """
    if role == "early":
        _try_forest(waits=False)


def get_ready(trains: bool) -> None:
    """Load what the first training, or the first prediction from strokes, would wait for.

    What is compiled is compiled now on a machine that sees it for the first time.
    """
    if trains:
        compiled.warm_up()
        # a training that starts from weights fits a last layer, and borders, before its first step
        import_module("sklearn.linear_model")
        import_module("sklearn.ensemble")
    else:
        _try_forest(waits=True)


def _try_forest(waits: bool) -> None:
    """Predict from strokes, as small as may be."""
    from napari_tem_rf.learning.live import fit_early
    from napari_tem_rf.learning.pixel_features import feature_strips

    pixels = np.random.default_rng(0).normal(size=(24, 24)).astype(np.float32)
    features = np.concatenate([strip for _, strip in feature_strips(pixels)])
    classes = np.arange(24, dtype=np.uint8).repeat(24) // 12
    classifier = fit_early(features.reshape(24 * 24, -1), classes, 0, waits=waits)
    classifier.predict(features)
