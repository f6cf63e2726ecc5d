"""Estimators are scikit-learn's: its tools take them."""

import subprocess
import sys

import numpy as np
import pytest
import sklearn.base
from sklearn.model_selection import GridSearchCV

from numpyro_bayeslayers.estimators import BayesianNeuralFieldMAP

from .tables import ALL, QUICK, SETTINGS, table


@pytest.mark.parametrize("kind", ALL)
def test_clone(kind):
    field = kind(**SETTINGS, interactions=[(0, 1)], seasonality_periods=np.array([4.0]))
    twin = sklearn.base.clone(field)
    assert type(twin) is kind
    assert twin.get_params()["interactions"] == [(0, 1)]
    assert twin.set_params(width=7) is twin and twin.width == 7 and field.width == 3
    with pytest.raises(ValueError, match=r"(?s)Invalid parameter 'dept'.*'depth'"):
        twin.set_params(dept=3)


@pytest.mark.slow
def test_clone_of_a_fit_is_not_fitted(normal):
    assert hasattr(normal, "params_")
    assert not hasattr(sklearn.base.clone(normal), "params_")


def test_settings_are_kept_as_given():
    """Not read, copied or checked before `fit`: `clone` asks for it."""
    periods, timetype = np.array([4.0]), "no such type"
    field = BayesianNeuralFieldMAP(
        **SETTINGS, seasonality_periods=periods, timetype=timetype
    )
    assert field.seasonality_periods is periods and field.timetype is timetype


def test_repr_names_what_was_given():
    field = BayesianNeuralFieldMAP(feature_cols=["t"], target_col="y", freq="D")
    expected = "BayesianNeuralFieldMAP(feature_cols=['t'], freq='D', target_col='y')"
    assert repr(field) == expected
    assert "BayesianNeuralFieldMAP" in field._repr_html_()  # in a notebook


def error(field, df):
    return -np.abs(field.predict(df)[0] - df["y"]).mean()


@pytest.mark.slow
def test_grid_search():
    df = table()
    train, test = np.arange(18), np.arange(18, 24)
    search = GridSearchCV(
        BayesianNeuralFieldMAP(**SETTINGS),
        {"width": [2, 3]},
        scoring=error,
        cv=[(train, test)],
    )
    search.fit(df, seed=0, **QUICK)
    for width, found in zip((2, 3), search.cv_results_["mean_test_score"], strict=True):
        alone = BayesianNeuralFieldMAP(**SETTINGS | {"width": width})
        alone.fit(df.iloc[train], 0, **QUICK)
        np.testing.assert_allclose(found, error(alone, df.iloc[test]), rtol=1e-5)
    assert search.best_estimator_.predict(df)[0].shape == (24,)


def test_without_scikit_learn_the_room_says_what_to_install():
    code = (
        "import sys; sys.modules['sklearn'] = None; import numpyro_bayeslayers.estimators"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "pip install 'numpyro-bayeslayers[estimators]'" in done.stderr
