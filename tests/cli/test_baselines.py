"""``train --method``: a forest is fitted, predicts, and says what it is not."""

import numpy as np
import pytest

from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.provenance import read_provenance

from .conftest import main


@pytest.fixture(scope="module")
def forest(data, tmp_path_factory):
    """Folder of a forest's run on three of the four images."""
    folder = tmp_path_factory.mktemp("forests") / "forest"
    images = [str(data.images / f"gold_{number}.tif") for number in range(3)]
    with pytest.raises(SystemExit) as left:
        main(
            [
                *("train", *images, "--labels", str(data.masks), "--run", str(folder)),
                *("--method", "forest", "--unlabelled", "background", "--validation", "0.3"),
            ]
        )
    assert not left.value.code
    return folder


def test_a_forest_predicts_and_is_scored_like_any_run(cli, data, forest, tmp_path):
    # as the trees decided: the mask is where a class is the most probable
    raw = ("predict", forest, data.images, "--no-finish")
    answer = cli(*raw, "--out", tmp_path / "masks", "--probabilities")
    assert answer.code == 0, answer.err
    mask = read_labels(tmp_path / "masks" / "gold_3.tif")
    assert ((mask > 0) == (data.truth("gold_3") > 0)).mean() > 0.9
    made = read_provenance(tmp_path / "masks" / "gold_3.tif")
    assert made["method"] == "random forest"
    assert made["weights_sha256"]
    likely = read_probabilities(tmp_path / "masks" / "gold_3_probabilities.tif")
    np.testing.assert_allclose(likely.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(likely.argmax(axis=0), mask)
    tiles = cli(*raw, "--out", tmp_path / "tiles", "--tile", 17)
    assert tiles.code == 0
    np.testing.assert_array_equal(read_labels(tmp_path / "tiles" / "gold_3.tif"), mask)
    scores = cli("evaluate", tmp_path / "masks", "--labels", data.masks, "--json").json
    assert scores["dice"] > 0.8
    assert {"ap_50", "panoptic_quality", "count_error_percent_inner"} <= scores.keys()


def read_probabilities(path):
    from napari_tem_rf.micrographs.reading import read_micrographs

    (likely,) = read_micrographs(path)
    return np.asarray(likely.pixels)


def test_the_summary_of_a_forest_names_no_network(cli, data, tmp_path):
    answer = cli(
        *("train", data.images, "--labels", data.masks, "--run", tmp_path / "run", "--json"),
        *("--method", "forest", "--unlabelled", "background", "--seed", 956),
    )
    summary = answer.json
    assert (summary["method"], summary["seed"], summary["state"]) == ("forest", 956, "finished")
    assert summary["scores"]["dice"] > 0.8
    assert "pools" not in summary
    again = cli(
        *("train", data.images, "--labels", data.masks, "--run", tmp_path / "run"),
        *("--method", "forest", "--unlabelled", "background"),
    )
    assert "nothing is overwritten" in again.error


@pytest.mark.parametrize(
    "options",
    [
        ("--receptive-field", "44"),
        ("--epochs", "3"),
        ("--start", "nothing"),
        ("--resume",),
        ("--repeat", "somewhere"),
    ],
)
def test_what_is_of_networks_alone_is_refused(cli, data, tmp_path, options):
    answer = cli(
        *("train", data.images, "--labels", data.masks, "--run", tmp_path / "run"),
        *("--method", "forest", *options),
    )
    assert answer.code == 2
    said = " ".join(answer.err.replace("│", " ").split())
    assert "a random forest is fitted in one go and is no network" in said
    assert options[0] in said
    assert not (tmp_path / "run").exists()


def test_a_method_that_there_is_not(cli, data, tmp_path):
    answer = cli(
        *("train", data.images, "--labels", data.masks, "--run", tmp_path / "run"),
        *("--method", "svm"),
    )
    assert answer.code == 2
    assert "network, forest, fourier" in " ".join(answer.err.split())


def test_discs_without_a_lattice_are_not_filtered_for(cli, data, tmp_path):
    answer = cli(
        *("train", data.images, "--labels", data.masks, "--run", tmp_path / "run"),
        *("--method", "fourier", "--unlabelled", "background"),
    )
    assert "no lattice was found" in answer.error


def test_a_forest_has_no_field_to_measure(cli, data, forest):
    answer = cli("effective-field", forest, data.images / "gold_0.tif", "--at", "5,5")
    assert "is a random forest and no network" in answer.error
    resumed = cli("train", "--run", forest, "--resume")
    assert "neither resumed" in resumed.error
    again = cli("train", "--repeat", forest)
    assert "neither resumed, repeated" in again.error
