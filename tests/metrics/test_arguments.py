"""What every score does with its arguments: refuses what has no score, and can be compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import polars as pl
import pytest

from numpyro_bayeslayers import metrics

RNG = np.random.default_rng(21)
ONE = np.ones(4)
DRAWS = RNG.normal(size=(6, 4))
LEVELS = np.array([0.2, 0.5, 0.9])
PROBS = np.array([[0.7, 0.3], [0.4, 0.6], [0.2, 0.8], [0.9, 0.1]])

#: By name, the score of four numbers `y`.
OF_NUMBERS = {
    "log_score": lambda y: metrics.log_score(y, dist.Normal(jnp.zeros(4), 1.0)),
    "crps_draws": lambda y: metrics.crps_draws(y, DRAWS),
    "crps_normal": lambda y: metrics.crps_normal(y, 0 * ONE, ONE),
    "crps_student_t": lambda y: metrics.crps_student_t(y, 3 * ONE, 0 * ONE, ONE),
    "crps_mixture_normal": lambda y: metrics.crps_mixture_normal(y, DRAWS, DRAWS**2 + 1),
    "crps_negative_binomial": lambda y: metrics.crps_negative_binomial(y, ONE, ONE),
    "energy_score": lambda y: metrics.energy_score(y[:, None], DRAWS[..., None]),
    "variogram_score": lambda y: metrics.variogram_score(y[None], DRAWS[:, None]),
    "pinball_loss": lambda y: metrics.pinball_loss(y, np.sort(DRAWS, 0)[:3], LEVELS),
    "weighted_interval_score": lambda y: metrics.weighted_interval_score(
        y, ONE, 0 * ONE[None], 2 * ONE[None], alphas=[0.1]
    ),
    "interval_score": lambda y: metrics.interval_score(y, 0 * ONE, ONE),
    "pit": lambda y: metrics.pit(y, DRAWS),
    "coverage_by_level": lambda y: metrics.coverage_by_level(y, DRAWS),
    "expected_quantile_calibration_error": lambda y: (
        metrics.expected_quantile_calibration_error(y, DRAWS)
    ),
    "recalibrate": lambda y: metrics.recalibrate(DRAWS, y),
}
#: By name, the score of four classes `y`.
OF_CLASSES = {
    "brier_score": lambda y: metrics.brier_score(y, PROBS),
    "brier_decomposition": lambda y: metrics.brier_decomposition(y, PROBS),
    "reliability": lambda y: metrics.reliability(y, PROBS),
    "maximum_calibration_error": lambda y: metrics.maximum_calibration_error(y, PROBS),
    "misclassification_auroc": lambda y: metrics.misclassification_auroc(y, PROBS),
    "temperature": lambda y: metrics.recalibrate(PROBS, y, method="temperature"),
}
COUNTS = np.array([0.0, 1.0, 1.0, 1.0])

NO_SCORE = {
    "dates": (
        np.array(["2024-01-01"] * 4, "M8[D]"),
        TypeError,
        "`y` must hold real numbers",
    ),
    "words": (np.array(list("abcd")), TypeError, "`y` must hold real numbers"),
    "complex": (ONE + 1j, TypeError, "`y` must hold real numbers"),
    "nan": (ONE * np.nan, ValueError, "`y` has 4 entries that are NaN"),
    "masked": (np.ma.array(ONE, mask=[0, 0, 1, 0]), ValueError, "`y` has 1 masked entries"),
    "none": (np.zeros(0), ValueError, "`y` must"),
    "fewer": (np.ones(3), ValueError, "`y`"),
}


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("kind", NO_SCORE)
@pytest.mark.parametrize("name", [*OF_NUMBERS, *OF_CLASSES])
def test_what_has_no_score(name, kind):
    """An error that names the argument, or that shapes do not line up."""
    y, error, message = NO_SCORE[kind]
    if kind in ("none", "fewer"):
        message = r"must have|shape"
    with pytest.raises(error, match=message):
        (OF_NUMBERS | OF_CLASSES)[name](y)


@pytest.mark.parametrize("name", [*OF_NUMBERS, *OF_CLASSES])
def test_compiled_is_as_called(name):
    score = (OF_NUMBERS | OF_CLASSES)[name]
    found, expected = jax.jit(score)(COUNTS), score(COUNTS)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("as_users_run")
def test_columns_of_tables_have_one_order_of_rows():
    labels = [3, 1, 2, 0]
    y, table = pd.Series(COUNTS, index=labels), pd.DataFrame(PROBS, index=labels)
    assert float(metrics.brier_score(y, table)) == float(metrics.brier_score(COUNTS, PROBS))
    assert float(metrics.crps_draws(y, DRAWS)) == float(metrics.crps_draws(COUNTS, DRAWS))
    with pytest.raises(ValueError, match="`y` and `probs` must have the same row labels"):
        metrics.brier_score(y, table.sort_index())
    doubt = pd.Series(COUNTS)
    with pytest.raises(
        ValueError, match="`y` and `uncertainty` must have the same row labels"
    ):
        metrics.misclassification_auroc(y, table, doubt)


#: The forms of observations that `fit` takes, too.
FORMS = {
    "list": np.ndarray.tolist,
    "series": pd.Series,
    "nullable": lambda y: pd.Series(y, dtype="Float64"),
    "objects": lambda y: pd.Series(y.tolist(), dtype=object),
    "polars": pl.Series,
}


@pytest.mark.parametrize("form", FORMS)
def test_observations_have_the_forms_that_a_fit_takes(form):
    """Under run-time types as without: the numbers are those of the array."""
    y = FORMS[form](COUNTS)
    for score in (metrics.coverage_by_level, metrics.pit, metrics.crps_draws):
        jax.tree.map(np.testing.assert_array_equal, score(y, DRAWS), score(COUNTS, DRAWS))
    found, expected = metrics.brier_score(y, PROBS), metrics.brier_score(COUNTS, PROBS)
    np.testing.assert_array_equal(found, expected)


def test_arrays_keep_their_checked_shapes():
    with pytest.raises(Exception, match="y"):
        metrics.brier_score(COUNTS[None], PROBS)


@pytest.mark.parametrize("name", ["crps_normal", "pit", "brier_score"])
def test_categories_have_no_numbers(name):
    """Their codes, with which a model is fitted, may be others than their names."""
    y = pd.Series([1, 2, 1, 2], dtype="category")
    with pytest.raises(
        TypeError, match=r"`y` must hold real numbers, got categories.*codes"
    ):
        (OF_NUMBERS | OF_CLASSES)[name](y)
