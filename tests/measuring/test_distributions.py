"""Fits and intervals against scipy's own fits and samples whose truth is known."""

import time

import numpy as np
import pytest
from scipy import stats

from napari_tem_rf.measuring import distributions
from napari_tem_rf.measuring.distributions import (
    DISTRIBUTIONS,
    estimate,
    fit_distributions,
    needed_for,
    resampled,
)

TRUTHS = {
    "normal": stats.norm(10, 1.5),
    "log-normal": stats.lognorm(0.4, scale=5),
    "Weibull": stats.weibull_min(1.8, scale=7),
    "gamma": stats.gamma(4, scale=1.7),
}


def scipys_fit(name, x):
    """Return scipy's own maximum-likelihood parameters, in our order."""
    if name == "normal":
        return stats.norm.fit(x)
    if name == "log-normal":
        sigma, _, median = stats.lognorm.fit(x, floc=0)
        return median, sigma
    kind = {"Weibull": stats.weibull_min, "gamma": stats.gamma}[name]
    shape, _, scale = kind.fit(x, floc=0)
    return shape, scale


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("n", [23, 1009])
def test_parameters_and_likelihood_are_those_of_scipy(name, n):
    x = TRUTHS[name].rvs(n, random_state=np.random.default_rng(n))
    fits = {fit.name: fit for fit in fit_distributions(x)}
    values = [value for _, value in fits[name].parameters]
    assert values == pytest.approx(scipys_fit(name, x), rel=2e-4)
    first, second = values
    frozen = {
        "normal": stats.norm(first, second),
        "log-normal": stats.lognorm(second, scale=first),
        "Weibull": stats.weibull_min(first, scale=second),
        "gamma": stats.gamma(first, scale=second),
    }[name]
    assert fits[name].log_likelihood == pytest.approx(frozen.logpdf(x).sum())
    assert fits[name].ks == pytest.approx(stats.kstest(x, frozen.cdf).statistic)
    aicc = 4 - 2 * frozen.logpdf(x).sum() + 12 / (n - 3)
    assert fits[name].aicc == pytest.approx(aicc)
    np.testing.assert_allclose(fits[name].density([-1.0, 3.0, 9.0]), frozen.pdf([-1.0, 3.0, 9.0]))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_true_distribution_comes_out_best(name):
    """At 2,000 sizes of these shapes the evidence decides; wrong ones are told by the test."""
    x = TRUTHS[name].rvs(2000, random_state=np.random.default_rng(7))
    fits = fit_distributions(x)
    assert fits[0].name == name
    assert sum(fit.weight for fit in fits) == pytest.approx(1)
    assert fits[0].p_value > 0.02
    worst = fits[-1]
    assert worst.p_value < 0.01
    assert worst.aicc > fits[0].aicc + 10


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_test_rejects_the_truth_as_often_as_it_says(name):
    """At 10 %: 80 samples, binomial 99.9 % bounds. Known parameters' tables reject about none."""
    rejected = naive = 0
    rng = np.random.default_rng(3)
    for _ in range(80):
        x = TRUTHS[name].rvs(31, random_state=rng)
        (fit,) = fit_distributions(x, [name])
        rejected += fit.p_value <= 0.1
        naive += stats.kstwo.sf(fit.ks, 31) <= 0.1
    low, high = stats.binom(80, 0.1).ppf([0.0005, 0.9995])
    assert low <= rejected <= high
    assert naive < low


def test_the_normal_test_agrees_with_published_critical_values():
    """Lilliefors 1967: the 5 % point is 0.886 / sqrt(n) for many, Stephens 1974: 0.895."""
    rng = np.random.default_rng(11)
    for n in (50, 4000):
        x = rng.normal(20, 1, n)
        (fit,) = fit_distributions(x, ["normal"])
        p = np.array([[value] for _, value in fit.parameters])
        chance = distributions._chance_of("normal", p, 0.895 / n**0.5, n, rng)
        assert chance == pytest.approx(0.05, abs=0.025)


def test_too_few_or_equal_sizes_have_no_fit():
    assert fit_distributions([1.0, 2, 3, 4, 5, 6, 7]) == ()
    assert fit_distributions(np.full(100, 3.7)) == ()
    assert len(fit_distributions([1.0, 2, 3, 4, 5, 6, 7, 8, np.nan])) == 4
    with pytest.raises(ValueError, match="a size is -1"):
        fit_distributions([-1.0, *range(1, 20)])


def drawn_images(rng, images, between, within=1.0):
    """Return sizes about 10 of images that differ by ``between``, 5 to 40 particles each."""
    numbers = rng.integers(5, 41, images)
    sizes = [rng.normal(10 + rng.normal(0, between), within, n) for n in numbers]
    return np.concatenate(sizes), np.repeat(np.arange(images), numbers)


@pytest.mark.parametrize(("images", "between"), [(5, 0.5), (12, 0.5), (40, 0.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(images, between):
    """95 % over 200 repeats: within 90 and 99.5 %."""
    rng = np.random.default_rng(images)
    truth_sd = np.hypot(1.0, between)
    mean = sd = naive = 0
    for _ in range(200):
        x, image = drawn_images(rng, images, between)
        found = estimate(x, image)
        mean += found.mean.low <= 10 <= found.mean.high
        sd += found.sd.low <= truth_sd <= found.sd.high
        naive += abs(x.mean() - 10) <= 1.96 * x.std(ddof=1) / len(x) ** 0.5
    assert 0.9 <= mean / 200 <= 0.995
    assert 0.87 <= sd / 200 <= 0.995
    if between:
        # particles taken for independent draws are wrong every second time
        assert naive / 200 < 0.75


def test_one_image_is_resampled_by_particles():
    """The interval is that of the mean of independent draws: t times sd / sqrt(n)."""
    x = np.random.default_rng(5).gamma(9, 1, 400)
    found = estimate(x, np.zeros(400))
    assert (found.units, found.drawn, found.number) == ("particles", 400, 400)
    assert found.mean.value == pytest.approx(x.mean())
    assert found.sd.value == pytest.approx(x.std(ddof=1))
    expected = stats.t(399).ppf(0.975) * x.std(ddof=1) / 20
    assert found.mean.half_width == pytest.approx(expected, rel=0.06)
    assert estimate([], []).number == 0
    assert np.isnan(estimate([3.0], [0]).mean.low)


def test_how_many_are_needed():
    """For independent sizes of 20 % spread, +- 2 % takes (1.96 x 20 / 2) ** 2 = 384 of them."""
    x = np.random.default_rng(6).normal(10, 2, 20_000)
    needed = needed_for(estimate(x, np.zeros(len(x))), 0.02)
    assert needed.units == "particles"
    assert needed.particles == needed.drawn == pytest.approx(384 + 2, rel=0.1)
    assert needed.half_width == pytest.approx(0.2, rel=0.01)
    # 30 images of which each is off by 5 %: t(m - 1) x 5 / sqrt(m) <= 2 at m = 27
    off = stats.norm(0, 0.5).ppf((np.arange(30) + 0.5) / 30)
    found = estimate(np.repeat(10 + off, 50), np.repeat(np.arange(30), 50))
    needed = needed_for(found, 0.02)
    assert (needed.units, found.drawn) == ("images", 30)
    assert needed.drawn == pytest.approx(27, abs=2)
    assert needed.particles == 50 * needed.drawn
    assert needed_for(estimate([1.0], [0]), 0.05) is None


def test_a_ratio_over_one_image_has_no_interval():
    alone = resampled(np.array([[2.0, 4.0]]), lambda s: s[:, 0] / s[:, 1])
    assert alone.value == 0.5
    assert np.isnan(alone.low)


def test_100_000_particles_stay_quick():
    rng = np.random.default_rng(1)
    x, image = rng.lognormal(2, 0.3, 100_000), rng.integers(0, 300, 100_000)
    begun = time.process_time()
    fits, found = fit_distributions(x), estimate(x, image)
    assert time.process_time() - begun < 8
    assert fits[0].name == "log-normal"
    assert found.mean.value == pytest.approx(np.exp(2 + 0.045), rel=0.01)
