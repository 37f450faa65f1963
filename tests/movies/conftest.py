"""Simulated series with a known truth."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "sample_data" / "movie.py"


@pytest.fixture(scope="session")
def simulator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulated_movie", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def movie(simulator: ModuleType) -> Any:
    """A smaller picture than usual, in which more happens: 40 frames with 170 particles."""
    return simulator.simulate(
        simulator.Recipe(
            frames=40, side_px=320, particles=170, wander_px=0.8, noise=1.0, ripening=0.05, seed=3
        )
    )
