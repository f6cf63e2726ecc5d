"""What estimators of fields refuse."""

import numpy as np
import pytest

from numpyro_bayeslayers.estimators import (
    BayesianNeuralFieldMAP,
    BayesianNeuralFieldVI,
)
from numpyro_bayeslayers.infer import Checkpoint

from .tables import fit, table


@pytest.mark.usefixtures("as_users_run")
class TestErrors:
    @pytest.mark.parametrize(
        ("settings", "error", "words"),
        [
            (
                {"observation_model": "GAMMA"},
                ValueError,
                "`observation_model` must be one of",
            ),
            ({"feature_cols": ["day", "z"]}, ValueError, "must be one of.*got 'z'"),
            ({"target_col": "cases"}, ValueError, "must be one of.*got 'cases'"),
            ({"width": 0}, ValueError, "`width` must be a positive integer"),
            ({"freq": None}, ValueError, "`freq` must be given"),
            ({"observation_model": "NB"}, ValueError, r"counts \(integers of at least 0\)"),
            (
                {"seasonality_periods": ["W"], "num_seasonal_harmonics": [4]},
                ValueError,
                "at most half of the period",
            ),
        ],
    )
    def test_settings(self, settings, error, words):
        with pytest.raises(error, match=words):
            fit(BayesianNeuralFieldMAP, settings=settings)

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"seed": "0"}, TypeError, "`seed` must be"),
            ({"num_epochs": 0.005}, TypeError, "`num_epochs` must be a positive integer"),
            ({"learning_rate": 0.0}, ValueError, "`learning_rate` must be positive"),
            ({"batch_size": 0}, ValueError, "`batch_size` must be"),
            ({"ensemble_size": 0}, ValueError, "`ensemble_size` must be"),
            ({"num_splits": 3}, ValueError, "`num_splits` must divide `ensemble_size`=2"),
            (
                {"num_splits": 2, "checkpoint": Checkpoint("f")},
                ValueError,
                "must be 1 with",
            ),
        ],
    )
    def test_arguments(self, options, error, words):
        with pytest.raises(error, match=words):
            fit(BayesianNeuralFieldMAP, **options)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"kl_weight": 0.0}, "`kl_weight` must be positive"),
            ({"sample_size_posterior": 0}, "`sample_size_posterior` must be"),
            ({"num_particles": 0}, "`num_particles` must be"),
        ],
    )
    def test_arguments_of_vi(self, options, words):
        with pytest.raises(ValueError, match=words):
            fit(BayesianNeuralFieldVI, **options)

    def test_missing_feature_is_named(self):
        with pytest.raises(ValueError, match="'x' has 1 of 24 entries that are missing"):
            fit(BayesianNeuralFieldMAP, table().assign(x=[np.nan] + [1.0] * 23))

    def test_later_tables(self, normal):
        with pytest.raises(ValueError, match="'x' has 24 of 24"):
            normal.predict(table().assign(x=np.nan))
        with pytest.raises(ValueError, match=r"must be one of.*got 'x'"):
            normal.predict(table().drop(columns="x"))
        for quantiles in ((0.5, 1.5), 0.5, (np.nan,)):
            with pytest.raises(ValueError, match="`quantiles` must be a list of prob"):
                normal.predict(table(), quantiles)
