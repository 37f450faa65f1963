"""The main way through the window, in a process of its own; see `main_way.py`."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_from_sample_to_mask_by_the_widgets_buttons() -> None:
    way = Path(__file__).with_name("main_way.py")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", str(way)],
        capture_output=True,
        text=True,
        timeout=400,
        cwd=way.parents[2],
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
