"""Fits in one call: the same posterior by all methods, data, minibatches, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pandas as pd
import pytest
from numpyro.infer import TraceMeanField_ELBO
from numpyro.infer.autoguide import AutoDelta, AutoMultivariateNormal, AutoNormal

from numpyro_bayeslayers.infer import (
    MCMC,
    VI,
    Ensemble,
    Predictions,
    Stein,
    autoreparam,
    fit,
)
from numpyro_bayeslayers.layers import gaussian_link

pytestmark = pytest.mark.usefixtures("as_users_run")

quiet = functools.partial(fit, progress_bar=False)

ROWS, NOISE = 40, 0.5
# An intercept and an orthogonal slope: the posterior has no correlation, a mean field is exact.
X = np.stack([np.ones(ROWS), np.tile([-1.0, 1.0], ROWS // 2)], axis=1)
Y = X @ [1.0, -0.5] + NOISE * np.random.default_rng(0).normal(size=ROWS)


def model(x, noise, kind="plain", knots=None, y=None):
    beta = numpyro.sample("beta", dist.Normal(0, 1).expand([2]).to_event(1))
    numpyro.deterministic("twice", 2 * beta)
    f = numpyro.deterministic("f", x @ beta)
    return gaussian_link(f, y, scale=noise)


def posterior(x=X, y=Y, noise=NOISE):
    """Mean and covariance by the normal equations, in float64."""
    covariance = np.linalg.inv(np.eye(x.shape[1]) + x.T @ x / noise**2)
    return covariance @ x.T @ y / noise**2, covariance


METHODS = {
    "vi": {"method": VI(), "num_steps": 800},
    "mcmc": {"method": MCMC(num_warmup=150, num_samples=300, num_chains=2)},
    "ensemble": {"method": Ensemble(num_members=3), "num_epochs": 300, "batch_size": 20},
    "stein": {"method": Stein(num_particles=15), "num_steps": 200},
}


@functools.cache
def fitted(name):
    """One fit for each method, to a pandas table with constants beside."""
    table = pd.DataFrame(X, columns=["one", "slope"])
    more = {"noise": NOISE, "kind": "plain", "knots": np.arange(7.0)}
    return quiet(model, y=pd.Series(Y), x=table, **METHODS[name], **more)


@pytest.mark.parametrize("name", METHODS)
def test_posterior_and_predictions_of_each_method(name):
    """Against the closed form; the seeds are fixed.

    Tolerances: 0.35 posterior standard deviations for means (with 600 dependent draws their
    error is below 0.06) and 25% for spreads of draws (15 particles are narrower: 40%).
    """
    mean, covariance = posterior()
    draws = fitted(name).draws(num_samples=400)
    assert set(draws) == {"beta", "twice"}
    beta = np.asarray(draws["beta"], float)
    np.testing.assert_allclose(draws["twice"], 2 * beta, rtol=1e-5)
    beta, std = beta.reshape(-1, 2), np.sqrt(np.diag(covariance))
    assert np.all(np.abs(beta.mean(0) - mean) < 0.35 * std)
    assert np.all(np.abs(beta.std(0) / std - 1) < (0.4 if name == "stein" else 0.25))

    new = X[:3]
    found = fitted(name).predict(x=new, num_samples=600)
    assert isinstance(found, Predictions) and found.samples.shape == (600, 3)
    spread = np.sqrt(np.diag(new @ covariance @ new.T) + NOISE**2)
    assert np.all(np.abs(found.mean - new @ mean) < 0.2 * spread)  # 5 standard errors
    assert np.all(np.abs(found.std / spread - 1) < 0.15)  # 5 standard errors
    np.testing.assert_allclose(found.mean, found.samples.mean(0), rtol=1e-6)


def test_quantiles():
    found = fitted("vi").predict(x=X[:3], num_samples=100)
    low, high = found.quantiles((0.05, 0.95))
    np.testing.assert_allclose(low, np.quantile(found.samples, 0.05, 0), rtol=1e-5)
    assert np.all(low < high)
    assert found.quantiles(0.5).shape == (3,)
    with pytest.raises(ValueError, match="`q` must hold probabilities"):
        found.quantiles([0.1, 5])


def test_predictions_in_blocks_and_by_the_seed():
    ask = functools.partial(fitted("vi").predict, x=X[:9], num_samples=20)
    np.testing.assert_array_equal(ask().samples, ask().samples)
    assert np.any(ask(seed=5).samples != ask().samples)
    assert ask(batch_size=4).samples.shape == (20, 9)
    assert ask(knots=np.arange(7.0), noise=NOISE).samples.shape == (20, 9)


def test_losses_and_params():
    assert fitted("vi").losses.shape == (1, 800)
    assert fitted("ensemble").losses.shape == (3, 600)  # 2 batches an epoch
    assert fitted("ensemble").params["beta_auto_loc"].shape == (3, 2)
    assert fitted("mcmc").losses is None and fitted("mcmc").params == {}
    assert fitted("stein").losses.shape == (1, 200)


def test_summary():
    table = fitted("vi").summary(prob=0.8, num_samples=500)
    assert list(table.index) == ["beta[0]", "beta[1]", "twice[0]", "twice[1]"]
    assert list(table) == ["mean", "std", "median", "10%", "90%"]
    chains = fitted("mcmc").summary()
    assert list(chains)[3:] == ["5%", "95%", "n_eff", "r_hat"]
    assert np.all(np.abs(chains["r_hat"] - 1) < 0.05) and np.all(chains["n_eff"] > 60)
    with pytest.raises(ValueError, match="`prob` must be above 0"):
        fitted("vi").summary(prob=1.0)


def test_to_arviz():
    found = fitted("ensemble").to_arviz(num_samples=50)
    assert found.posterior["beta"].shape == (3, 50, 2)
    assert "sample_stats" not in found
    chains = fitted("mcmc").to_arviz()
    np.testing.assert_array_equal(
        chains.posterior["twice"], fitted("mcmc").draws()["twice"]
    )
    assert dict(chains.sample_stats["diverging"].sizes) == {"chain": 2, "draw": 300}
    np.testing.assert_allclose(
        chains.observed_data["obs"], Y, rtol=1e-6
    )  # single precision


# What minibatches weigh.

N = 100


def design():
    x = np.stack([np.ones(N), np.tile([-1.0, 1.0], N // 2)], axis=1)
    return x, x @ [1.0, 2.0] + np.random.default_rng(1).normal(size=N)


def weight_of_data(batch_size, model=None):
    """How often a batched fit counts the data: the data's part of the fitted precision,
    against the one that it has, N / noise^2 for each coefficient."""
    x, y = design()
    steps = 4000
    optim = optax.adam(optax.cosine_decay_schedule(0.03, steps))
    way = VI(optim=optim, loss=TraceMeanField_ELBO(num_particles=100))
    done = quiet(
        model or known, y=y, x=x, method=way, batch_size=batch_size, num_steps=steps
    )
    std = np.asarray(done.params["beta_auto_scale"][0], float)
    mean = np.asarray(done.params["beta_auto_loc"][0], float)
    exact, covariance = posterior(x, y, 1.0)
    assert np.all(np.abs(mean - exact) < 0.1 * np.sqrt(np.diag(covariance)))
    return (1 / std**2 - 1.0) / N


def known(x, y=None):
    beta = numpyro.sample("beta", dist.Normal(0, 1).expand([2]).to_event(1))
    gaussian_link(x @ beta, y, scale=1.0)


def in_own_plate(x, y=None):
    beta = numpyro.sample("beta", dist.Normal(0, 1).expand([2]).to_event(1))
    with numpyro.plate("rows", len(x), subsample_size=25) as rows:
        y = y if y is None else y[rows]
        numpyro.sample("y", dist.Normal(x[rows] @ beta, 1.0), obs=y)


def for_batches(x, y=None):
    beta = numpyro.sample("beta", dist.Normal(0, 1).expand([2]).to_event(1))
    with numpyro.plate("rows", N, subsample_size=len(x)):
        numpyro.sample("y", dist.Normal(x @ beta, 1.0), obs=y)


def test_data_weigh_one_in_minibatches():
    """From seed to seed a weight scatters by 0.5% (28 fits tried): 2% are four of these."""
    np.testing.assert_allclose(weight_of_data(64), 1.0, atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [100, 50, 99, 1000])
def test_data_weigh_one_in_any_minibatches(batch_size):
    np.testing.assert_allclose(weight_of_data(batch_size), 1.0, atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "size"), [(in_own_plate, None), (for_batches, 64)])
def test_data_weigh_one_in_plates(model, size):
    np.testing.assert_allclose(weight_of_data(size, model), 1.0, atol=0.02)


def test_model_that_subsamples_predicts_all_rows():
    x, y = design()
    done = quiet(in_own_plate, y=y, x=x, num_steps=3)
    assert done.predict(x=x[:7], num_samples=2).samples.shape == (2, 7)
    with pytest.raises(
        ValueError, match=r"plate 'rows', and `batch_size`.*Leave out `batch_size`"
    ):
        quiet(in_own_plate, y=y, x=x, num_steps=3, batch_size=10)


def test_guides_of_all_kinds():
    """A class with options, an autoguide of the user's model, a function."""
    x, y = design()

    def guide(x, y=None):
        loc = numpyro.param("loc", jnp.zeros(2))
        numpyro.sample("beta", dist.Delta(loc).to_event(1))

    for given in (functools.partial(AutoNormal, init_scale=0.3), AutoDelta(known), guide):
        done = quiet(known, y=y, x=x, method=VI(guide=given), num_steps=2)
        assert done.losses.shape == (1, 2)
    assert done.predict(x=x[:4], num_samples=3).mean.shape == (4,)


def test_guides_by_name():
    x, y = design()
    names = {"delta": AutoDelta, "normal": AutoNormal, "full_rank": AutoMultivariateNormal}
    for name, kind in names.items():
        by_name, by_class = (
            quiet(known, y=y, x=x, method=VI(guide=guide), num_steps=2)
            for guide in (name, kind)
        )
        np.testing.assert_array_equal(by_name.losses, by_class.losses)
    with pytest.raises(
        ValueError, match=r"`guide` must be one of .* Did you mean 'normal'"
    ):
        VI(guide="normall")


def test_members_of_an_ensemble_start_apart():
    """Each at a draw of its prior N(0, 1), for a class or a name; not at medians of draws."""
    x, y = design()
    for guide in (AutoNormal, "delta"):
        way = Ensemble(num_members=40, guide=guide, optim=1e-6)  # stays where it starts
        done = quiet(known, y=y, x=x, method=way, num_steps=1)
        (starts,) = (v for name, v in done.params.items() if name.endswith("_loc"))
        # 40 x 2 normals: false alarm below 1e-6.
        assert 0.6 < np.std(starts) < 1.5


def test_reparametrized_model_and_several_observed_sites():
    @autoreparam
    def two(x, y=None):
        beta = numpyro.sample("beta", dist.Normal(3.0, 2.0))
        first, second = (None, None) if y is None else (y[:, 0], y[:, 1])
        gaussian_link(beta * x, first, name="a", scale=1.0)
        gaussian_link(beta + x, second, name="b", scale=1.0)

    x = np.linspace(0.0, 1.0, 10)
    done = quiet(two, y=np.zeros((10, 2)), x=x, num_steps=2)
    assert set(done.draws(num_samples=3)) == {"beta"}
    assert set(done.draws(num_samples=3, all=True)) == {"beta", "beta_decentered"}
    assert done.predict(x=x[:4], site="b", num_samples=3).mean.shape == (4,)
    with pytest.raises(ValueError, match=r"`site` must be given.*\['a', 'b'\]"):
        done.predict(x=x)


# Errors.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": None}, "`y` must be given"),
        ({"x": X[:39]}, "same number of rows, but `y` has 40, `x` has 39"),
        (
            {"x": pd.DataFrame(X[:39]), "knots": X},
            "same number of rows, but `y` has 40, `x` has 39",
        ),
        ({"x": X[:39], "knots": np.ones(ROWS)}, "`x` has 39, and the model does not run"),
        ({"x": np.where(X > 0, np.nan, X)}, "`x` has 60 entries .*column 0, 1"),
        (
            {"x": pd.DataFrame({"a": X[:, 0], "b": [None] * ROWS})},
            r"`x\['b'\]` has 40 entries",
        ),
        ({"y": np.where(Y > 1, np.inf, Y)}, "`y` has .* NaN or infinite"),
        ({"num_steps": None}, "either `num_steps` or `num_epochs`, got neither"),
        ({"num_epochs": 3}, "either `num_steps` or `num_epochs`, got 2 and 3"),
        ({"num_steps": 0}, "`num_steps` must be a positive integer"),
        ({"num_steps": None, "num_epochs": 0}, "`num_epochs` must be a positive integer"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"method": "mcmc"}, "`num_steps` and `num_epochs` must be left out"),
        ({"method": MCMC, "batch_size": 5}, "`batch_size` must be left out with MCMC"),
        ({"method": "ensembel"}, "`method` must be one of .* Did you mean 'ensemble'"),
    ],
)
def test_errors_of_fit(change, message):
    given = {"y": Y, "x": X, "noise": NOISE, "num_steps": 2} | change
    with pytest.raises(ValueError, match=message):
        quiet(model, **given)


def test_errors_of_kind():
    with pytest.raises(TypeError, match="`method` must be VI"):
        quiet(model, y=Y, x=X, noise=NOISE, method=7, num_steps=2)
    with pytest.raises(TypeError, match="`x` holds dates"):
        quiet(model, y=Y, x=np.full(ROWS, "2024", "M8[D]"), noise=NOISE, num_steps=2)
    with pytest.raises(ValueError, match="`model` must take the observations as `y`"):
        quiet(lambda x: None, y=Y, x=X, num_steps=2)
    with pytest.raises(TypeError, match="`model` must be callable"):
        quiet(3, y=Y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, "`x` must be given"),
        ({"w": X}, "`data` must be one of .*'x'"),
        ({"x": X * np.nan}, r"`x\[.one.\]` has 40 entries"),
        ({"noise": 2.0}, "`noise` is a constant of this fit"),
        ({"num_samples": 0}, "`num_samples` must be a positive integer"),
        ({"site": "y"}, "`site` must be one of .*'obs'"),
    ],
)
def test_errors_of_predict(change, message):
    given = {"x": X} | change
    given = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        fitted("vi").predict(**given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VI(optim=-1.0), "`optim` must be positive"),
        (lambda: Ensemble(num_members=0), "`num_members` must be a positive integer"),
        (lambda: MCMC(num_warmup=-1), "`num_warmup` must be zero or positive"),
        (lambda: Stein(num_particles=0), "`num_particles` must be a positive integer"),
    ],
)
def test_errors_of_methods(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
def test_stein_in_minibatches_of_a_mixture():
    """Each particle is a normal; one compilation for all batches."""
    x, y = design()
    way = Stein(num_particles=2, guide=AutoNormal, num_elbo_particles=2)
    done = quiet(known, y=y, x=x, method=way, batch_size=30, num_steps=3)
    assert jax.tree.leaves(done.params)[0].shape[0] == 2
    assert done.predict(x=x[:4], num_samples=6).samples.shape == (6, 4)
