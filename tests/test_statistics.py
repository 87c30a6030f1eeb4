"""Intervals of few runs hold what they promise, comparisons are SciPy's, and a run that failed is never averaged."""

import math

import numpy as np
import pytest
from scipy import stats

from wmlib import statistics
from wmlib.errors import InputError


@pytest.mark.parametrize("n", [5, 6, 10, 30])
def test_the_interval_of_runs_is_scipy_s_and_holds_the_truth_as_often_as_it_says(n):
    rng = np.random.default_rng(n)
    values = rng.normal(300, 60, n)
    theirs = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    np.testing.assert_allclose(statistics.interval(values), theirs, rtol=1e-6)
    drawn = rng.normal(size=(4_000, n))
    half = statistics.t_quantile(0.95, n - 1) * drawn.std(axis=1, ddof=1) / math.sqrt(n)
    assert abs((np.abs(drawn.mean(axis=1)) <= half).mean() - 0.95) < 0.015


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_fewer_than_five_runs_have_no_interval_and_are_printed_one_by_one(n):
    values = [100.0 * k for k in range(1, n + 1)]
    assert np.isnan(statistics.interval(values)).all()
    runs = statistics.Runs.of(values)
    assert runs.middle == np.mean(values) and runs.values == tuple(values)
    assert "[" not in str(runs)
    assert all(f"{value:.0f}" in str(runs) for value in values) and n == len(runs.values)
    assert statistics.html_table([["a"], ["b", str(runs)]], "").count("<small>(") == 1


def test_five_runs_have_an_interval_in_brackets():
    text = str(statistics.Runs.of([1.0, 2, 3, 4, 5]))
    assert text == "3.0 [1.0, 5.0]"
    page = statistics.html_table([["<a>"], ["b", text]], "c & d")
    assert (
        "3.0<br><small>[1.0, 5.0]</small>" in page and "&lt;a&gt;" in page and "c &amp; d" in page
    )


@pytest.mark.parametrize(("n", "share"), [(3, 0.73), (5, 0.85), (20, 0.93)])
def test_the_bootstrap_of_few_rows_is_as_narrow_as_its_docstring_says(n, share):
    rng = np.random.default_rng(n)
    ends = [statistics.bootstrap(rng.normal(size=n), resamples=300, seed=k) for k in range(1_000)]
    assert abs(np.mean([low <= 0 <= high for low, high in ends]) - share) < 0.04


def test_the_bootstrap_is_scipy_s():
    values = np.random.default_rng(0).normal(50, 10, 200)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4_000, rng=np.random.default_rng(0)
    ).confidence_interval
    np.testing.assert_allclose(statistics.bootstrap(values, resamples=4_000), theirs, atol=0.15)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (5, 7), (3, 4)])
def test_a_comparison_is_scipy_s_permutation_test_and_mann_whitney_s_u(n, m):
    rng = np.random.default_rng(n + m)
    x, y = rng.normal(1.0, 1, n), rng.normal(0, 1, m)
    found = statistics.compare(x, y)
    theirs = stats.permutation_test(
        (x, y), lambda a, b, axis: a.mean(axis) - b.mean(axis), vectorized=True, n_resamples=np.inf
    )
    assert found.p == pytest.approx(theirs.pvalue, abs=1e-9)
    assert found.better == pytest.approx(stats.mannwhitneyu(x, y).statistic / (n * m))
    assert found.enough is (min(n, m) >= 5)


def test_many_runs_are_compared_by_drawing_and_equal_ones_are_not_told_apart():
    x, y = np.random.default_rng(1).normal(size=(2, 30))
    theirs = stats.permutation_test(
        (x, y), lambda a, b: a.mean() - b.mean(), n_resamples=9_999, rng=np.random.default_rng(0)
    )
    assert statistics.compare(x, y).p == pytest.approx(theirs.pvalue, abs=0.02)
    assert statistics.compare([1, 1, 1, 1, 1], [1, 1, 1, 1, 1]) == (0.5, 1.0, True)
    rng = np.random.default_rng(2)
    called = [statistics.compare(*rng.normal(size=(2, 5))).p < 0.05 for _ in range(400)]
    assert np.mean(called) < 0.08, "equal methods are called different more often than said"


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf], [[1.0, 2.0]]])
def test_a_run_that_failed_is_refused_and_not_averaged(values):
    for ask in (statistics.interval, statistics.Runs.of, lambda v: statistics.compare(v, [1.0])):
        with pytest.raises(InputError, match="one finite number"):
            ask(values)
