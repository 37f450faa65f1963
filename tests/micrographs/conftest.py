import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def formats():
    """The folder of files that microscopes wrote."""
    folder = ROOT.parent / "shared" / "data" / "formats"
    if not folder.exists():
        pytest.skip("no ../shared/data/formats")
    return folder


@pytest.fixture(scope="session")
def benchmark_module():
    """Import a script of benchmarks/ by its name."""

    def load(name):
        path = ROOT / "benchmarks" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        # dataclasses look their module up by its name
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return load
