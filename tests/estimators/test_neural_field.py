"""Estimators of fields on tables: what they fit, what they predict, and how they are used."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import polars as pl
import pytest
import scipy.optimize
import scipy.stats
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import log_density
from sklearn.exceptions import NotFittedError

from numpyro_bayeslayers.estimators import (
    BayesianNeuralFieldMAP,
    BayesianNeuralFieldMLE,
    BayesianNeuralFieldVI,
    _base,
)
from numpyro_bayeslayers.estimators._observation import OBSERVATION_MODELS, Units
from numpyro_bayeslayers.infer import Checkpoint, EarlyStopping
from numpyro_bayeslayers.layers import BayesianNeuralField
from tests.quick import mostly_slow

from .tables import ALL, SETTINGS, fit, table


class TestPredictions:
    """Against the members' distributions and SciPy."""

    @pytest.mark.parametrize("name", mostly_slow(OBSERVATION_MODELS, {"NORMAL", "ZINB"}))
    def test_mean_is_that_of_the_members(self, fitted, name):
        df = table()[:5]
        mean, quantiles = fitted[name].predict(df)
        members = np.asarray(fitted[name].likelihood_model(df).mean)
        assert members.shape == (8 if name == "ZINB" else 2, 5)
        np.testing.assert_allclose(mean, members.mean(axis=0), rtol=1e-5)
        assert len(quantiles) == 1 and quantiles[0].shape == (5,)

    def test_normal_quantiles_are_roots_of_the_mixture(self, normal):
        df = table()[:4]
        d = normal.likelihood_model(df)
        loc, scale = np.asarray(d.loc), np.asarray(d.scale)
        levels = (0.025, 0.5, 0.9)
        _, quantiles = normal.predict(df, quantiles=levels)

        def excess(y, i, q):
            return scipy.stats.norm.cdf(y, loc[:, i], scale[:, 0]).mean() - q

        for q, found in zip(levels, quantiles, strict=True):
            roots = [scipy.optimize.brentq(excess, -1e3, 1e3, (i, q)) for i in range(4)]
            np.testing.assert_allclose(found, roots, rtol=1e-5)

    @pytest.mark.parametrize("name", mostly_slow(["NB", "ZINB"], {"ZINB"}))
    def test_quantiles_of_counts_are_the_first_that_reach(self, fitted, name):
        df = table()[:3]
        d = fitted[name].likelihood_model(df)
        pmf = np.exp(np.asarray(d.log_prob(jnp.arange(300.0)[:, None, None]))).mean(axis=1)
        cdf = np.cumsum(pmf.astype(float), axis=0)
        levels = (0.05, 0.5, 0.975)
        for q, found in zip(levels, fitted[name].predict(df, levels)[1], strict=True):
            assert found.tolist() == [int(np.argmax(cdf[:, i] >= q)) for i in range(3)]

    def test_approximate_quantiles_are_those_of_one_normal(self, normal):
        df = table()[:4]
        d = normal.likelihood_model(df)
        mean, variance = np.asarray(d.mean), np.asarray(d.variance)
        std = np.sqrt(variance.mean(axis=0) + mean.var(axis=0))
        _, (found,) = normal.predict(df, (0.9,), approximate_quantiles=True)
        expected = scipy.stats.norm.ppf(0.9, mean.mean(axis=0), std)
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_blocks_of_rows_do_not_matter(self, normal, monkeypatch):
        mean, (median,) = normal.predict(table())
        monkeypatch.setattr(_base, "_BLOCK", 14)  # seven rows of two members
        again, (median_again,) = normal.predict(table())
        np.testing.assert_allclose(again, mean, rtol=1e-5)
        np.testing.assert_allclose(median_again, median, rtol=1e-5)

    def test_rows_keep_their_order_and_need_no_target(self, normal):
        df = table().drop(columns="y")
        mean, _ = normal.predict(df)
        np.testing.assert_allclose(normal.predict(df[::-1])[0], mean[::-1], rtol=1e-5)
        with_gaps, _ = normal.predict(table().assign(y=np.nan))
        np.testing.assert_array_equal(with_gaps, mean)

    def test_a_table_of_another_library(self, normal):
        df = table()[:4].drop(columns="day")
        days = pl.Series("day", table()["day"][:4].tolist())
        mean, _ = normal.predict(table()[:4])
        found, _ = normal.predict(pl.DataFrame(df.to_dict("list")).with_columns(days))
        np.testing.assert_array_equal(found, mean)

    def test_no_rows(self, normal):
        mean, (median,) = normal.predict(table()[:0])
        assert mean.shape == median.shape == (0,)

    def test_draws_of_a_variational_member_differ(self, fitted):
        d = fitted["ZINB"].likelihood_model(table()[:2])
        assert len(np.unique(np.asarray(d.mean)[:, 0])) == 8
        twice = fitted["ZINB"].likelihood_model(table()[:2])
        np.testing.assert_array_equal(twice.mean, d.mean)


class TestModel:
    """The density of one member by hand."""

    @pytest.mark.parametrize("name", OBSERVATION_MODELS)
    @pytest.mark.parametrize("has_prior", [True, False])
    def test_density(self, name, has_prior):
        observation = OBSERVATION_MODELS[name]
        field = BayesianNeuralField([1.0], [0], [], [], [], width=2, depth=1, name="field")
        x, y = jnp.ones((3, 1)), jnp.array([1.0, 0.0, 2.0])
        units = Units(0.0, 2.0)
        model = _base._model(field, observation, units, has_prior=has_prior)
        sites = trace(seed(model, 0)).get_trace(x, y)
        values = {k: s["value"] for k, s in sites.items() if s["type"] == "sample"}
        assert set(observation.priors) < set(values)
        f = substitute(field, data=values)(x)
        expected = observation.distribution(f, values, units).log_prob(y).sum()
        if has_prior:
            for site, value in values.items():
                if site != "target":
                    center = observation.priors.get(site, 0.0)
                    expected += scipy.stats.logistic.logpdf(value, center).sum()
        found, _ = log_density(model, (x, y), {}, values)
        assert found == pytest.approx(float(expected), rel=1e-5)

    def test_priors_are_those_of_bayesnf(self):
        centers = {name: model.priors for name, model in OBSERVATION_MODELS.items()}
        assert centers == {
            "NORMAL": {"log_noise_scale": 0.0},
            "NB": {"shape": -1.5},
            "ZINB": {"shape": -1.5, "inflation_logit": 0.0},
        }


class TestFit:
    def test_losses_are_those_of_the_table(self):
        """Steps too small to move anything: minus the log likelihood of what is predicted.

        In the units of the target, and the prior on top for modes.
        """
        df = table()
        mle, mode = (
            fit(kind, df, learning_rate=1e-30, num_epochs=1)
            for kind in (BayesianNeuralFieldMLE, BayesianNeuralFieldMAP)
        )
        loglik = np.asarray(mle.likelihood_model(df).log_prob(df["y"].to_numpy())).sum(
            axis=1
        )
        np.testing.assert_allclose(mle.losses_[:, 0], -loglik, rtol=1e-5)
        values = [np.asarray(p).reshape(2, -1) for p in mode.params_.values()]
        prior = scipy.stats.logistic.logpdf(np.concatenate(values, axis=1)).sum(axis=1)
        np.testing.assert_allclose(mode.losses_[:, 0], -loglik - prior, rtol=1e-5)

    def test_units_of_the_target_do_not_matter(self, normal):
        """Grams or tons, Kelvin or Celsius: the same fit in its own units."""
        df = table(counts=True)
        other = fit(BayesianNeuralFieldMAP, df.assign(y=1e5 + 1000 * df["y"]))
        mean, quantiles = normal.predict(df, (0.05, 0.95))
        mean_other, quantiles_other = other.predict(df, (0.05, 0.95))
        for x, x_other in zip(
            (mean, *quantiles), (mean_other, *quantiles_other), strict=True
        ):
            np.testing.assert_allclose((x_other - 1e5) / 1000, x, rtol=1e-3)
        shift = 24 * np.log(1000.0)
        np.testing.assert_allclose(other.losses_, normal.losses_ + shift, rtol=1e-4)

    def test_rows_without_a_target_are_counted_and_left_out(self, normal):
        """Even where they have no features either. Order and kind of seed do not matter."""
        gaps = pd.DataFrame({"day": [pd.NaT, pd.Timestamp("2023-05-01")], "x": np.nan})
        df = pd.concat([gaps, table(counts=True)[::-1]], ignore_index=True)
        with pytest.warns(UserWarning, match="2 of 26 rows have no 'y' and are left out"):
            other = fit(BayesianNeuralFieldMAP, df, seed=jax.random.key(0))
        np.testing.assert_allclose(other.losses_, normal.losses_, rtol=1e-4)

    def test_a_schedule_gives_the_rate_of_each_step(self):
        """At rate zero from the fifth step on, later losses are those of the same numbers."""
        schedule = optax.piecewise_constant_schedule(0.01, {5: 0.0})
        losses = fit(BayesianNeuralFieldMLE, learning_rate=schedule, num_epochs=8).losses_
        short = fit(BayesianNeuralFieldMLE, learning_rate=0.01, num_epochs=6).losses_
        np.testing.assert_allclose(losses[:, :6], short, rtol=1e-5)
        np.testing.assert_allclose(losses[:, 6:], losses[:, 6:7].repeat(2, 1), rtol=1e-6)
        assert not np.allclose(losses[:, 4], losses[:, 5], rtol=1e-6)

    def test_epochs_are_passes_and_splits_train_all_members(self):
        field = fit(
            BayesianNeuralFieldMLE,
            batch_size=10,
            num_epochs=2,
            ensemble_size=4,
            num_splits=2,
        )
        assert field.losses_.shape == (4, 4)  # two batches of ten in 24 rows
        assert {p.shape[0] for p in field.params_.values()} == {4}
        assert len(np.unique(field.losses_[:, 0])) == 4

    @pytest.mark.parametrize("kind", ALL)
    def test_what_the_ensemble_is_given(self, kind, monkeypatch):
        """Its own tests say what it does with it."""
        given = {}

        class Ensemble:
            def __init__(self, model, guide, optimizer, *rest):
                given["rest"] = rest

            def run(self, seed, num_steps, *data, **options):
                given.update(options, num_steps=num_steps)
                raise KeyboardInterrupt

        monkeypatch.setattr(_base, "EnsembleVI", Ensemble)
        shared = {
            "batch_size": 6,
            "early_stopping": EarlyStopping(7),
            "checkpoint": Checkpoint("file"),
            "progress_bar": True,
        }
        options, rest = {}, (2, 1.0, 1)
        if kind is BayesianNeuralFieldVI:
            options, rest = {"num_particles": 3, "kl_weight": 0.4}, (2, 0.4, 3)
        with pytest.raises(KeyboardInterrupt):
            fit(kind, **shared, **options)
        assert given == {"rest": rest, "num_steps": 12, **shared}


@pytest.mark.slow
def test_double_precision():
    with jax.enable_x64(True):
        field = fit(BayesianNeuralFieldMAP)
        assert {p.dtype for p in field.params_.values()} == {np.dtype("float64")}
        d = field.likelihood_model(table())
        assert d.loc.dtype == np.float64
        mean, _ = field.predict(table())
        np.testing.assert_allclose(mean, np.asarray(d.loc).mean(axis=0), rtol=1e-13)


class TestManners:
    """What a user asks of a fit, and the package bayesnf of a script."""

    @pytest.mark.parametrize("kind", ALL)
    def test_not_fitted(self, kind):
        for method in ("predict", "likelihood_model"):
            with pytest.raises(
                NotFittedError, match=f"This {kind.__name__} instance is not fitted"
            ):
                getattr(kind(**SETTINGS), method)(table())

    @pytest.mark.parametrize("name", ["NORMAL", "ZINB"])
    def test_pickle(self, fitted, name):
        twin = pickle.loads(pickle.dumps(fitted[name]))
        np.testing.assert_array_equal(
            twin.predict(table())[0], fitted[name].predict(table())[0]
        )

    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            (BayesianNeuralFieldMAP, {"num_splits": 1}),
            pytest.param(
                BayesianNeuralFieldVI,
                {"sample_size_posterior": 2, "sample_size_divergence": 1},
                marks=pytest.mark.slow,
            ),
        ],
    )
    def test_a_script_for_bayesnf_runs(self, kind, options):
        model = kind(
            width=4,
            depth=1,
            freq="W",
            seasonality_periods=["M", "Y"],
            num_seasonal_harmonics=[2, 3],
            feature_cols=["datetime", "latitude", "longitude"],
            target_col="cases",
            observation_model="NORMAL",
            timetype="index",
            standardize=["latitude", "longitude"],
            interactions=[(0, 1), (0, 2), (1, 2)],
        )
        df = pd.DataFrame(
            {"datetime": pd.date_range("2005-01-03", periods=20, freq="W-MON")}
        )
        df = df.assign(latitude=np.arange(20) % 2, longitude=np.arange(20) % 3, cases=1.0)
        model = model.fit(
            df, seed=jax.random.PRNGKey(0), ensemble_size=2, num_epochs=1, **options
        )
        yhat, yhat_quantiles = model.predict(df, quantiles=(0.025, 0.5, 0.975))
        assert yhat.shape == (20,) and len(yhat_quantiles) == 3
        assert np.vstack(model.losses_).shape == (2, 1)

    def test_params_go_by_site(self, fitted):
        assert fitted["NORMAL"].params_["field.output_W_loc"].shape == (2, 3, 1)
        scale = fitted["ZINB"].params_["shape_scale"]
        assert scale.shape == (2,) and (scale > 0).all()


def test_hours_of_a_zone_have_seasons_of_its_clock():
    """Where clocks are changed, rows go through with elapsed time and with local time."""
    hours = pd.date_range("2024-03-30", periods=48, freq="h", tz="Europe/London")
    df = pd.DataFrame({"day": hours, "x": 1.0, "y": np.cos(2 * np.pi * hours.hour / 24)})
    seasons = {"seasonality_periods": ["D"], "num_seasonal_harmonics": [1]}
    options = SETTINGS | {"freq": "h", "standardize": None} | seasons
    field = fit(BayesianNeuralFieldMAP, df, options)
    assert field.field_.in_features == 3 and field.n_features_in_ == 2
    assert field.params_["field.log_scale_adjustment_loc"].shape == (2, 2)
    mean, _ = field.predict(df[::-1])
    np.testing.assert_allclose(mean[::-1], field.predict(df)[0], rtol=1e-5)
    with pytest.raises(ValueError, match="'day' must have dates with a time zone"):
        field.predict(df.assign(day=hours.tz_localize(None)))
