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
        # EMD parts prefix and unit (https://emdatasets.com/format)
        (0.25, "n_m", 0.25),
        (0.25, "[n_m]", 0.25),
        (0.25, "[u_m]", 250),
        (0.25, "µ", 250),
        (0.25, "[Å]", 0.025),
        # a size per pixel is a length
        (0.25, "nm/px", 0.25),
        (0.25, "nm / pixel", 0.25),
        (0.25, "µm/pixels", 250),
        (0.25, "nm per pixel", 0.25),
        (0.25, "nm px^-1", 0.25),
        (0.25, "nm·px⁻¹", 0.25),
        (0.25, "Å/pix", 0.025),
        (0.25, "[n_m]/voxel", 0.25),
        # names of UDUNITS, which OME-Zarr takes
        (1, "nanometer", 1),
        (1, "micrometre", 1000),
        (1, "picometers", 1e-3),
        (1, "angstrom", 0.1),
        (1, "centimeter", 1e7),
        (1, "inches", 25.4e6),
        (1, "㎛", 1000),
        (1, r"$\mu m$", 1000),
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
    "unit",
    [
        *("1/nm", "1 / µm", "1/m", "nm^-1", "nm⁻¹", "1/Å", "mrad", "rad", "A^(-1)", "nm-1", "°"),
        *("n_m^-1", "[n_m^-1]", "[n_m]^-1", "1/[n_m]", "1/px", "1/nm/px", "nm^{-1}", "per nm"),
        *("degrees", "µrad", "reciprocal nm"),
    ],
)
def test_reciprocal_units_are_known(unit):
    assert is_reciprocal(unit)


@pytest.mark.parametrize(
    "unit",
    [
        "nm",
        "µm",
        "micron",
        "m",
        "Å",
        "",
        None,
        "inch",
        "pixel",
        "nm/px",
        "n_m",
        "grade",
        "nm per px",
    ],
)
def test_lengths_are_not_reciprocal(unit):
    assert not is_reciprocal(unit)
    assert not is_spectral(unit)


@pytest.mark.parametrize("unit", ["eV", "keV", "GHz"])
def test_energies_are_spectral(unit):
    assert is_spectral(unit)
