"""Probabilities of classes against scikit-learn and explicit bins."""

import jax
import numpy as np
import pytest
import sklearn.metrics

from numpyro_bayeslayers.metrics import (
    brier_decomposition,
    brier_score,
    expected_calibration_error,
    maximum_calibration_error,
    reliability,
)

RNG = np.random.default_rng(10)
PROBS = RNG.dirichlet(np.ones(3), 200)
CLASSES = np.array([RNG.choice(3, p=p) for p in PROBS])
COLUMN = RNG.uniform(size=200)
BINARY = (RNG.uniform(size=200) < COLUMN**2).astype(int)


def test_brier_is_that_of_scikit_learn():
    expected = sklearn.metrics.brier_score_loss(BINARY, COLUMN)
    assert float(brier_score(BINARY, COLUMN)) == pytest.approx(expected, rel=1e-5)
    both = np.stack([1 - COLUMN, COLUMN], 1)
    assert float(brier_score(BINARY, both)) == pytest.approx(2 * expected, rel=1e-5)
    each = ((PROBS - np.eye(3)[CLASSES]) ** 2).sum(1)
    np.testing.assert_allclose(brier_score(CLASSES, PROBS, average=False), each, rtol=1e-5)


@pytest.mark.parametrize("binning", ["width", "adaptive"])
@pytest.mark.parametrize("num_bins", [1, 5, 10])
def test_the_parts_of_brier_add_up(binning, num_bins):
    for y, probs in ((BINARY, COLUMN), (CLASSES, PROBS)):
        parts = brier_decomposition(y, probs, num_bins=num_bins, binning=binning)
        total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
        assert total == pytest.approx(float(brier_score(y, probs)), abs=1e-6)


def test_the_parts_of_brier_of_few_values_are_murphys():
    """Predictions that are alike in a bin: by loops over them."""
    p = np.array([0.1, 0.5, 0.9])[RNG.integers(3, size=200)]
    y = (RNG.uniform(size=200) < 0.3 + 0.5 * p).astype(int)
    reliable = resolved = 0.0
    for value in (0.1, 0.5, 0.9):
        rows = p == value
        reliable += rows.mean() * (value - y[rows].mean()) ** 2
        resolved += rows.mean() * (y[rows].mean() - y.mean()) ** 2
    found = brier_decomposition(y, p, num_bins=5)
    expected = (reliable, resolved, y.mean() * (1 - y.mean()), 0.0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def bins_of(confidence, num_bins, binning):
    if binning == "width":
        upper = np.arange(1, num_bins + 1) / num_bins
        return [(confidence > u - 1 / num_bins) & (confidence <= u) for u in upper]
    order = np.argsort(confidence)
    return [
        np.isin(np.arange(len(order)), part) for part in np.array_split(order, num_bins)
    ]


@pytest.mark.parametrize("binning", ["width", "adaptive"])
def test_calibration_errors_are_those_of_explicit_bins(binning):
    confidence, is_right = PROBS.max(1), PROBS.argmax(1) == CLASSES
    gaps, share, counts = [], [], []
    for rows in bins_of(confidence, 8, binning):
        counts.append(rows.sum())
        if rows.any():
            gaps.append(abs(confidence[rows].mean() - is_right[rows].mean()))
            share.append(rows.mean())
    settings = {"num_bins": 8, "binning": binning}
    np.testing.assert_array_equal(reliability(CLASSES, PROBS, **settings).count, counts)
    found = expected_calibration_error(CLASSES, PROBS, **settings)
    assert found == pytest.approx(np.dot(gaps, share), abs=1e-6)
    found = maximum_calibration_error(CLASSES, PROBS, **settings)
    assert found == pytest.approx(max(gaps), abs=1e-6)


def test_calibrated_classes_have_a_small_error():
    """Classes drawn by their probabilities, 50,000: by chance it is 0.8 / sqrt(n / bins) / 2.

    A bound of twice that over 15 bins; the chance of a false alarm is below 1e-6.
    """
    rng = np.random.default_rng(11)
    probs = rng.dirichlet(np.ones(4), 50_000)
    y = (rng.uniform(size=(50_000, 1)) > probs.cumsum(1)).sum(1)
    assert expected_calibration_error(y, probs) < 0.8 * np.sqrt(15 / 50_000)


def test_bounds_belong_to_the_bin_below():
    found = reliability(np.array([1]), np.array([[0.4, 0.6]], np.float32), num_bins=5)
    np.testing.assert_array_equal(found.count, [0, 0, 1, 0, 0])


def test_rows_of_one_confidence_stay_together():
    """So that the order of rows does not count."""
    probs = np.repeat([[0.3, 0.7], [0.1, 0.9]], [70, 30], axis=0)
    found = reliability(np.ones(100, int), probs, num_bins=4, binning="adaptive")
    assert sorted(np.asarray(found.count).tolist()) == [0, 0, 30, 70]


def test_sums_over_many_rows_keep_their_digits():
    """Two million equal confidences: added one by one they would be off by percents."""
    probs = np.full(2_000_000, 0.9, np.float32)
    found = reliability(np.ones(2_000_000, int), probs, num_bins=2)
    assert found.confidence[1] == pytest.approx(0.9, rel=1e-6)


def test_they_are_pure():
    error = jax.jit(expected_calibration_error)(CLASSES, PROBS)
    assert error == pytest.approx(float(expected_calibration_error(CLASSES, PROBS)))


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("y", "probs", "error", "message"),
    [
        (CLASSES, 1.2 * PROBS, ValueError, "`probs` must be probabilities that sum to one"),
        (CLASSES, PROBS - 0.5, ValueError, "`probs` must be probabilities.* got -0.4"),
        (CLASSES, PROBS * np.nan, ValueError, "`probs` has 600 entries that are NaN"),
        (
            CLASSES[:3],
            PROBS,
            ValueError,
            "`y` must have one class for each of the 200 rows",
        ),
        (CLASSES + 1, PROBS, ValueError, "`y` must hold classes.* 0 to 2.* got 3"),
        (CLASSES + 0.5, PROBS, ValueError, "`y` must hold classes"),
        (np.array(["a", "b"]), PROBS[:2], TypeError, "`y` must hold real numbers"),
        (CLASSES, PROBS[:, :1], ValueError, "of at least two classes"),
        (np.zeros(0), np.zeros((0, 2)), ValueError, "`probs` must have at least one entry"),
        (CLASSES, np.zeros(200, "M8[D]"), TypeError, "`probs` must hold real numbers"),
        (BINARY, COLUMN + 0.5, ValueError, "`probs` must be probabilities"),
    ],
)
def test_errors(y, probs, error, message):
    for score in (brier_score, expected_calibration_error, brier_decomposition):
        with pytest.raises(error, match=message):
            score(y, probs)


@pytest.mark.usefixtures("as_users_run")
def test_errors_of_settings():
    with pytest.raises(ValueError, match=r"`binning` must be"):
        reliability(CLASSES, PROBS, binning="equal")
    with pytest.raises(ValueError, match=r"`num_bins` must be a positive integer"):
        expected_calibration_error(CLASSES, PROBS, num_bins=0)
