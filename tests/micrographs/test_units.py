import pytest

from napari_tem_rf.micrographs.units import (
    UnknownUnitError,
    is_reciprocal,
    is_spectral,
    length_in_nm,
)


@pytest.mark.parametrize(
    ("value", "unit", "nm"),
    [
        (0.168675, "um", 168.675),
        (0.168675, "µm", 168.675),
        (0.168675, "μm", 168.675),
        (0.168675, "\\u00B5m", 168.675),
        (2, "microns", 2000),
        (1.7, "Å", 0.17),
        (1.7, "\u212b", 0.17),
        (1.7, "A", 0.17),
        (1.7, "angstrom", 0.17),
        (25, "pm", 0.025),
        (2.1479e-8, "meters", 21.479),
        (2.1479e-8, "m", 21.479),
        (1, "nanometers", 1),
        (1, "inch", 25.4e6),
        (-0.25, "nm", 0.25),
    ],
)
def test_lengths_come_in_nm(value, unit, nm):
    assert length_in_nm(value, unit) == pytest.approx(nm, rel=1e-12)


@pytest.mark.parametrize("unit", [None, "", "pixel", "pixels", "px", " ", "<undefined>"])
def test_no_unit_is_no_pixel_size(unit):
    assert length_in_nm(1.0, unit) is None


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_no_length_is_no_pixel_size(value):
    assert length_in_nm(value, "nm") is None


@pytest.mark.parametrize("unit", ["s", "parsec", "counts"])
def test_other_units_are_named(unit):
    with pytest.raises(UnknownUnitError, match=unit):
        length_in_nm(1.0, unit)


@pytest.mark.parametrize(
    "unit", ["1/nm", "1 / µm", "1/m", "nm^-1", "nm⁻¹", "1/Å", "mrad", "rad", "A^(-1)", "nm-1", "°"]
)
def test_reciprocal_units_are_known(unit):
    assert is_reciprocal(unit)


@pytest.mark.parametrize("unit", ["nm", "µm", "micron", "m", "Å", "", None, "inch", "pixel"])
def test_lengths_are_not_reciprocal(unit):
    assert not is_reciprocal(unit)
    assert not is_spectral(unit)


@pytest.mark.parametrize("unit", ["eV", "keV", "GHz"])
def test_energies_are_spectral(unit):
    assert is_spectral(unit)
