"""Whether uncertainty is where errors are: against scikit-learn and loops."""

import numpy as np
import pytest
import sklearn.metrics

from numpyro_bayeslayers.metrics import (
    area_under_risk_coverage,
    misclassification_auroc,
    out_of_distribution_auroc,
)

RNG = np.random.default_rng(12)
PROBS = RNG.dirichlet(np.ones(3), 150)
CLASSES = np.array([RNG.choice(3, p=p) for p in PROBS])


def test_of_misclassification_is_that_of_scikit_learn():
    is_wrong = PROBS.argmax(1) != CLASSES
    expected = sklearn.metrics.roc_auc_score(is_wrong, 1 - PROBS.max(1))
    assert float(misclassification_auroc(CLASSES, PROBS)) == pytest.approx(
        expected, abs=1e-6
    )
    doubt = np.round(1 - PROBS.max(1), 1)  # with ties
    expected = sklearn.metrics.roc_auc_score(is_wrong, doubt)
    found = misclassification_auroc(CLASSES, PROBS, doubt)
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_of_another_data_set_is_that_of_scikit_learn():
    a, b = RNG.integers(5, size=40), RNG.integers(2, 8, size=60)
    expected = sklearn.metrics.roc_auc_score([0] * 40 + [1] * 60, np.concatenate([a, b]))
    assert float(out_of_distribution_auroc(a, b)) == pytest.approx(expected, abs=1e-6)


def test_standard_error_is_that_of_repetitions():
    """Against the deviation over 2,000 data sets, which is known to 1.6%: within 8%.

    The errors themselves vary, too; their mean over data sets is compared.
    """
    rng = np.random.default_rng(13)
    found = [
        out_of_distribution_auroc(rng.normal(size=40), rng.normal(1.0, 1.0, 60))
        for _ in range(300)
    ]
    area, error = np.array([[s.mean, s.standard_error] for s in found]).T
    # The deviation over 300 is known to 4%: 5 of these, a chance of 6e-7.
    assert error.mean() == pytest.approx(area.std(), rel=0.2)


def test_risk_coverage_by_a_loop():
    loss, doubt = RNG.uniform(size=30), RNG.uniform(size=30)
    kept = loss[np.argsort(doubt)]
    expected = np.mean([kept[: k + 1].mean() for k in range(30)])
    assert area_under_risk_coverage(loss, doubt) == pytest.approx(expected, rel=1e-5)


def test_risk_coverage_of_ties_is_the_mean_over_their_orders():
    """Against 4,000 random orders; their mean is known to 0.001."""
    loss, doubt = RNG.integers(2, size=12).astype(float), RNG.integers(3, size=12)
    rng = np.random.default_rng(14)
    each = []
    for _ in range(4000):
        order = rng.permutation(12)
        kept = loss[order][np.argsort(doubt[order], kind="stable")]
        each.append(np.mean(np.cumsum(kept) / np.arange(1, 13)))
    bound = 5 * np.std(each) / np.sqrt(4000)
    assert area_under_risk_coverage(loss, doubt) == pytest.approx(np.mean(each), abs=bound)


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(
        ValueError, match=r"`y` must have both rows whose most probable class is"
    ):
        misclassification_auroc(PROBS.argmax(1), PROBS)
    with pytest.raises(ValueError, match=r"`uncertainty` has"):
        misclassification_auroc(CLASSES, PROBS, np.ones(3))
    with pytest.raises(
        ValueError, match=r"`uncertainty_other` must have at least one entry"
    ):
        out_of_distribution_auroc(np.ones(3), np.ones(0))
    with pytest.raises(ValueError, match=r"`uncertainty` has 1 entries that are NaN"):
        area_under_risk_coverage(np.ones(2), np.array([1.0, np.nan]))
