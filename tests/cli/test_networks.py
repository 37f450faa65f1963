"""``networks`` and ``field`` against the paper's numbers and by their contract."""

import pytest

KEYS = [
    "pools",
    "dilations",
    "filters",
    "growth",
    "parameters",
    "macs_per_pixel",
    "receptive_field",
]


def test_field_of_the_papers_network(cli):
    """Pools 4,4, first filters 4: 8,074 parameters, widths 116 (12 phases) and 132 (4)."""
    document = cli("field", "--pools", "4,4", "--json").json
    assert list(document) == [*KEYS, "phases"]
    assert document["pools"] == [4, 4]
    assert document["dilations"] == [1, 1, 1]
    assert (document["filters"], document["parameters"]) == (4, 8074)
    assert document["receptive_field"] == {
        "nominal": 120,
        "smallest": 116,
        "largest": 132,
        "period": 16,
        "halo": 64,
    }
    widths = [before + after + 1 for before, after in document["phases"]]
    assert sorted(widths) == [116] * 12 + [132] * 4


def test_multiply_adds_by_hand(cli):
    """No pools, one filter, two classes: convs of 1 x 9, 1 x 9, 1 and a head of 2."""
    document = cli("field", "--pools", "none", "--filters", "1", "--json").json
    assert document["macs_per_pixel"] == 9 + 9 + 1 + 2
    assert document["parameters"] == (10 + 2 + 10 + 2 + 2) + 4
    assert document["receptive_field"]["nominal"] == 5
    assert document["phases"] == [[2, 2]]


def test_dilations_and_filters_are_taken(cli):
    document = cli(
        "field", "--pools", "2,3", "--dilations", "1,2,3", "--filters", "7", "--json"
    ).json
    assert (document["dilations"], document["filters"]) == ([1, 2, 3], 7)
    assert len(document["phases"]) == 6


def test_networks_are_those_nearest_to_the_wish(cli):
    document = cli(
        "networks", "--receptive-field", "120", "--parameters", "30000", "--limit", "7", "--json"
    ).json
    assert len(document) == 7
    for entry in document:
        assert list(entry) == KEYS
        assert all(isinstance(value, int) for value in (*entry["pools"], *entry["dilations"]))
    first = document[0]
    assert abs(first["receptive_field"]["nominal"] / 120 - 1) <= 0.1
    assert abs(first["parameters"] / 30000 - 1) <= 0.1


def test_wish_in_nm_is_that_in_px(cli):
    in_px = cli("networks", "--receptive-field", "120", "--json").json
    in_nm = cli("networks", "--receptive-field-nm", "2.4", "--pixel-size", "0.02", "--json").json
    assert in_nm == in_px
    assert len(in_px) == 5


def test_text_is_for_people(cli):
    answer = cli("networks", "--receptive-field", "5", "--parameters", "1e7")
    assert answer.code == 0
    header, *rows = answer.out.splitlines()
    assert header.startswith("field/px")
    assert len(rows) == 5
    answer = cli("field", "--pools", "4,4")
    assert "nominal field 120 px" in answer.out
    assert "exact field 116 to 132 px by phase, period 16 px, halo 64 px" in answer.out
    assert answer.err == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["field"], "say which network: --pools 4,4"),
        (["field", "--pools", "4,x"], "'4,x' is not a list of whole numbers like 4,4"),
        (["field", "--pools", "1"], "every pool must be >= 2"),
        (["field", "--pools", "4,4", "--dilations", "1"], "2 pools need 3 dilations"),
        (["field", "--pools", "4,4", "--filters", "0"], "--filters"),
        (["field", "--pools", "2,2,2,2,2,2,2"], "a network has at most 6"),
        (["networks", "--receptive-field-nm", "2"], "--receptive-field-nm needs --pixel-size NM"),
        (
            [
                "networks",
                "--receptive-field",
                "9",
                "--receptive-field-nm",
                "2",
                "--pixel-size",
                "1",
            ],
            "not both",
        ),
        (["networks", "--limit", "0"], "--limit"),
        (["networks", "--receptive-field", "wide"], "--receptive-field"),
        (["networks", "--receptive-field", "nan"], "--receptive-field"),
        (["networks", "--parameters", "inf"], "--parameters"),
        (["networks", "--receptive-field-nm", "0", "--pixel-size", "0.1"], "--receptive-field-nm"),
        (["networks", "--receptive-field-nm", "2", "--pixel-size", "-1"], "--pixel-size"),
        (["net"], "No such command"),
        (["networks", "--wrong"], "No such option"),
    ],
)
def test_wrong_use_leaves_with_2_and_says_it_on_stderr(cli, arguments, says):
    answer = cli(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert says in answer.err
