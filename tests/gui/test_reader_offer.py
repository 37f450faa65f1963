"""A file that another reader opened without its pixel size: offered, never taken silently."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.settings import get_settings

from napari_tem_rf.gui.layers.layers import pixel_size_nm
from napari_tem_rf.gui.segment.reader_offer import ReaderOffer
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.settings import read_settings


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TEM_RF_CONFIG", str(tmp_path / "config" / "settings.json"))
    plugins = get_settings().plugins
    before = plugins.extension2reader
    plugins.extension2reader = {}
    yield plugins
    plugins.extension2reader = before


def write(path: Path, unit: str = "nm") -> Path:
    pixels = np.random.default_rng(1).integers(0, 999, (61, 83), np.uint16)
    metadata = {"unit": unit, "axes": "YX"} if unit else {"axes": "YX"}
    resolution = (50, 50) if unit else None
    tifffile.imwrite(path, pixels, imagej=True, resolution=resolution, metadata=metadata)
    return path


@pytest.fixture
def offer(viewer: Any, qtbot: Any) -> ReaderOffer:
    offer = ReaderOffer(viewer)
    qtbot.addWidget(offer)
    return offer


def test_the_pixel_size_is_offered_and_nothing_changed_before_the_answer(
    offer: ReaderOffer, viewer: Any, session: Session, settings: Any, tmp_path: Path, qtbot: Any
) -> None:
    viewer.open(write(tmp_path / "gold.tif"), plugin="napari")
    (image,) = session.images
    labels = viewer.add_labels(np.zeros((61, 83), np.uint8))
    qtbot.waitUntil(lambda: not offer.isHidden(), timeout=20_000)
    assert offer.words.text() == (
        "gold.tif was opened without the pixel size in its file (0.02 nm)."
    )
    assert offer.always_button.text() == "Use it for every .tif"
    assert pixel_size_nm(image) is None
    assert settings.extension2reader == {}
    offer.use_button.click()
    assert pixel_size_nm(image) == pytest.approx((0.02, 0.02))
    assert pixel_size_nm(labels) is None  # whose it is nobody said
    assert settings.extension2reader == {}
    assert offer.isHidden()


def test_one_click_makes_it_the_reader_of_that_ending(
    offer: ReaderOffer, viewer: Any, session: Session, settings: Any, tmp_path: Path, qtbot: Any
) -> None:
    settings.extension2reader = {"*.png": "napari"}
    viewer.open(write(tmp_path / "gold.tif"), plugin="napari")
    qtbot.waitUntil(lambda: not offer.isHidden(), timeout=20_000)
    offer.always_button.click()
    assert settings.extension2reader == {"*.png": "napari", "*.tif": "napari-tem-rf"}
    assert session.pixel_size_nm == pytest.approx((0.02, 0.02))
    # as napari's window opens files: without a plugin it takes the one that was chosen
    (layer,) = viewer.open(write(tmp_path / "silver.tif"), plugin=None)
    assert layer.source.reader_plugin == "napari-tem-rf"
    assert pixel_size_nm(layer) == pytest.approx((0.02, 0.02))


def test_no_is_remembered(
    offer: ReaderOffer, viewer: Any, settings: Any, tmp_path: Path, qtbot: Any
) -> None:
    viewer.open(write(tmp_path / "gold.tif"), plugin="napari")
    qtbot.waitUntil(lambda: not offer.isHidden(), timeout=20_000)
    offer.no_button.click()
    assert offer.isHidden()
    assert settings.extension2reader == {}
    assert read_settings().declined_endings == ".tif"
    viewer.open(write(tmp_path / "silver.tif"), plugin="napari")
    qtbot.wait(200)
    assert offer.isHidden()


def test_who_chose_a_reader_is_not_asked_for_another(
    offer: ReaderOffer, viewer: Any, settings: Any, tmp_path: Path, qtbot: Any
) -> None:
    settings.extension2reader = {"*.tif": "napari"}
    viewer.open(write(tmp_path / "gold.tif"))
    qtbot.waitUntil(lambda: not offer.isHidden(), timeout=20_000)
    assert offer.always_button.isHidden()


def test_a_file_that_holds_no_pixel_size_is_no_reason(
    offer: ReaderOffer, viewer: Any, tmp_path: Path, qtbot: Any
) -> None:
    viewer.open(write(tmp_path / "gold.tif", unit=""), plugin="napari")
    viewer.open(write(tmp_path / "silver.tif"), plugin="napari-tem-rf")
    viewer.add_image(np.zeros((61, 83)))
    qtbot.wait(500)
    assert offer.isHidden()
