"""scikit-learn's own checks of estimators; those without a fit are quick."""

import warnings

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from numpyro_bayeslayers.estimators import (
    BayesianClassifier,
    BayesianCountRegressor,
    BayesianRegressor,
)

SETTINGS = {"hidden": (4,), "num_members": 2, "num_steps": 100, "prior_scale": 1.0}
ALL = [
    BayesianRegressor(**SETTINGS, learning_rate=0.05),
    BayesianClassifier(**SETTINGS, learning_rate=0.05),
    BayesianCountRegressor(**SETTINGS, learning_rate=0.05),
]
QUICK = (
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_mixin_order",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimators_unfitted",
)


def _checks():
    for kind in ALL:
        for estimator, check in estimator_checks_generator(kind):
            name = check.func.__name__
            marks = [] if name in QUICK else [pytest.mark.slow]
            yield pytest.param(
                estimator, check, marks=marks, id=f"{type(kind).__name__}-{name}"
            )


@pytest.mark.parametrize(("estimator", "check"), list(_checks()))
def test_check(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what scikit-learn's own data makes it say
        check(estimator)
