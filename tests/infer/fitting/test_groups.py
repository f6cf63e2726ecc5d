"""A fit as ArviZ's data: the same draws in all groups, and what ArviZ makes of them.

Under ArviZ below 1 (`InferenceData`) and from 1 on (a tree of xarray) alike.
"""

import functools
import importlib.util
import warnings

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from scipy.stats import norm

from numpyro_bayeslayers.infer import MCMC, VI, Ensemble, Stein, fit
from numpyro_bayeslayers.layers import (
    AdaptiveLayer,
    RandomEffectsLayer,
    categorical_link,
    gaussian_link,
    poisson_link,
)
from tests.quick import mostly_slow

arviz = pytest.importorskip("arviz")
pytestmark = pytest.mark.usefixtures("as_users_run")

quiet = functools.partial(fit, progress_bar=False)
IS_OLD = arviz.__version__.startswith("0.")
ROWS, NOISE, PRIOR = 12, 0.7, 2.0
RNG = np.random.default_rng(0)
Y = 1.0 + NOISE * RNG.normal(size=ROWS)


def level(y=None, x=None):
    mu = numpyro.sample("mu", dist.Normal(0.0, PRIOR))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("obs", dist.Normal(mu, NOISE), obs=y)


def exact_elpd():
    """Each observation under the posterior of the others, in closed form."""
    precision = 1 / PRIOR**2 + (ROWS - 1) / NOISE**2
    means = (Y.sum() - Y) / NOISE**2 / precision
    return norm.logpdf(Y, means, np.sqrt(1 / precision + NOISE**2)).sum()


METHODS = {
    "vi": {"method": VI(optim=0.05), "num_steps": 800},
    "mcmc": {"method": MCMC(num_warmup=200, num_samples=1500, num_chains=2)},
    "ensemble": {"method": Ensemble(num_members=3, optim=0.05), "num_steps": 800},
    "stein": {"method": Stein(num_particles=30), "num_steps": 200},
}


@functools.cache
def fitted(name):
    return quiet(level, y=Y, x=np.arange(ROWS), **METHODS[name])


@functools.cache
def data(name):
    return fitted(name).to_arviz(num_samples=1000)


@pytest.mark.parametrize("name", mostly_slow(METHODS, {"vi"}))
def test_log_likelihood_is_that_of_the_same_draws(name):
    found = data(name)
    mu = np.asarray(found.posterior["mu"], float)
    right = norm.logpdf(Y, mu[..., None], NOISE)
    np.testing.assert_allclose(found.log_likelihood["obs"], right, rtol=1e-5, atol=1e-5)
    assert found.log_likelihood["obs"].dims == ("chain", "draw", "row")
    chains = {"vi": (1, 1000), "mcmc": (2, 1500), "ensemble": (3, 1000), "stein": (1, 30)}
    assert mu.shape == chains[name]
    np.testing.assert_allclose(found.observed_data["obs"], Y, rtol=1e-6)
    # New observations are those of the same draws: the noise is what is left, and normal.
    rest = (found.posterior_predictive["obs"] - found.posterior["mu"]) / NOISE
    rest = rest.transpose("chain", "draw", "row")
    count = rest.size
    assert abs(float(rest.mean())) < 5 / count**0.5  # 5 standard errors
    assert abs(float(rest.std()) - 1) < 5 / (2 * count) ** 0.5
    if name == "mcmc":
        np.testing.assert_array_equal(mu, fitted(name).draws()["mu"])
        assert {"diverging", "energy", "n_steps", "tree_depth"} <= set(found.sample_stats)


@pytest.mark.parametrize("name", METHODS)
def test_leave_one_out_of_a_conjugate_model(name):
    """Against the closed form.

    The estimate scatters by 0.05 from seed to seed of 1,000 draws: within three of these. The
    seeds are fixed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimated shape parameter")
        found = arviz.loo(data(name))
    elpd = float(found.elpd_loo if IS_OLD else found.elpd)
    assert abs(elpd - exact_elpd()) < 0.15


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of pandas, by ArviZ below 1
@pytest.mark.filterwarnings("ignore:Passing a dict or None as alias_mapping")
def test_what_arviz_makes_of_all_methods(in_memory):
    table = arviz.compare({name: data(name) for name in METHODS})
    assert sorted(table.index) == sorted(METHODS)
    for name in METHODS:
        line = arviz.summary(data(name)).loc["mu"]
        mean = float(data(name).posterior["mu"].mean())
        assert abs(float(line["mean"]) - mean) < 0.01
        if IS_OLD:
            arviz.plot_ppc(data(name), num_pp_samples=5)
        else:
            arviz.plot_ppc_dist(data(name), num_samples=5)


TABLE = pd.DataFrame(RNG.normal(size=(ROWS, 2)), columns=["age", "dose"])
TOWN = np.array(["rome", "oslo", "bern"])[np.arange(ROWS) % 3]


def layered(x, town, knots, kind, y=None):
    mu = AdaptiveLayer()("slopes", x) + RandomEffectsLayer()("town", town, 3)
    return gaussian_link(mu, y)


@pytest.mark.slow
def test_names_of_axes(tmp_path):
    given = {"x": TABLE, "town": TOWN, "knots": np.arange(4.0), "kind": "plain"}
    found = quiet(layered, y=Y, **given, num_steps=3)
    tree, draws = found.to_arviz(num_samples=4), found.draws(num_samples=4)
    slopes = tree.posterior["slopes.beta"]
    assert slopes.dims == ("chain", "draw", "x_column", "slopes.beta_dim_1")
    at_dose = slopes.sel(x_column="dose")[..., 0]
    np.testing.assert_array_equal(at_dose, draws["slopes.beta"][:, :, 1, 0])
    at_oslo = tree.posterior["town.theta"].sel(town_level="oslo")[..., 0]
    np.testing.assert_array_equal(at_oslo, draws["town.theta"][:, :, 1, 0])
    assert set(tree.constant_data) == {"x", "town", "knots"}
    assert tree.constant_data["town"].values.tolist() == TOWN.tolist()
    doses = tree.constant_data["x"].sel(x_column="dose")
    np.testing.assert_allclose(doses, TABLE["dose"], rtol=1e-6)
    assert "log_likelihood" not in found.to_arviz(num_samples=2, log_likelihood=False)
    if all(map(importlib.util.find_spec, ("h5netcdf", "h5py"))):
        tree.to_netcdf(str(tmp_path / "tree.nc"))
        again = arviz.from_netcdf(str(tmp_path / "tree.nc"))
        assert again.constant_data["town"].values.tolist() == TOWN.tolist()
        np.testing.assert_array_equal(again.posterior["slopes.beta"], slopes)


def test_outputs_rows_and_parameters_of_the_model():
    """Several outputs, a latent of rows, a parameter that is optimized, a row beyond a mask."""

    def many(row, seen, y=None):
        scale = numpyro.param("scale", 2.0, constraint=dist.constraints.positive)
        with numpyro.plate("rows", len(row)):
            effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
        rate = effect[:, None] * np.ones(2) + scale
        return poisson_link(rate, y, mask=seen)

    y = pd.DataFrame(RNG.poisson(5.0, (ROWS, 2)), columns=["left", "right"])
    seen = np.arange(ROWS) != 3
    way = Ensemble(num_members=2)
    found = quiet(many, y=y, row=np.arange(ROWS), seen=seen, method=way, num_steps=3)
    tree = found.to_arviz(num_samples=5)
    effect = tree.posterior["effect"]
    assert effect.dims == ("chain", "draw", "row_")  # an argument is called `row`
    np.testing.assert_array_equal(effect["row_"], np.arange(ROWS))
    each = tree.log_likelihood["obs"]
    assert each.dims == ("chain", "draw", "row_", "y_column")
    rows = np.flatnonzero(seen)
    np.testing.assert_array_equal(each["row_"], rows)
    scale = np.asarray(found.params["scale"])[:, None, None, None]
    rate = np.exp(np.asarray(effect)[..., rows, None] + scale)
    y = y.to_numpy()[rows]
    right = (
        y * np.log(rate)
        - rate
        - np.array([np.log(range(1, k + 1)).sum() for k in y.flat]).reshape(y.shape)
    )
    np.testing.assert_allclose(each, right, rtol=1e-4)
    assert (
        tree.observed_data["obs"].sel(y_column="right").values.tolist() == y[:, 1].tolist()
    )
    assert tree.posterior_predictive["obs"].shape == each.shape


def test_names_with_slashes():
    def scoped(x, town, y=None):
        w = numpyro.sample("net/w", dist.Normal(0, 1).expand([2]).to_event(1))
        with numpyro.plate("rows", len(x)):
            numpyro.sample("obs", dist.Normal(x @ w, 1.0), obs=y)

    found = quiet(scoped, y=Y, x=TABLE, town=TOWN, num_steps=2)
    tree = found.to_arviz(num_samples=3)
    name = "net/w" if IS_OLD else "net.w"
    np.testing.assert_array_equal(tree.posterior[name], found.draws(num_samples=3)["net/w"])


def test_models_without_latents():
    """Parameters alone: each member is one draw; of a model without these, there is one."""

    def tuned(x, y=None):
        mu = numpyro.param("mu", lambda key: jax.random.normal(key))
        with numpyro.plate("rows", len(x)):
            numpyro.sample("obs", dist.Normal(mu, NOISE), obs=y)

    way = Ensemble(num_members=3, guide=lambda x, y=None: None, optim=1e-9)
    found = quiet(tuned, y=Y, x=np.arange(ROWS), method=way, num_steps=2)
    tree = found.to_arviz(num_samples=4, posterior_predictive=False)
    mu = np.asarray(found.params["mu"])
    right = norm.logpdf(Y, mu[:, None, None], NOISE)
    np.testing.assert_allclose(tree.log_likelihood["obs"], right, rtol=1e-4)
    assert set(tree) == {"log_likelihood", "observed_data", "constant_data"}


@pytest.mark.parametrize("missing", ["drop", "impute"])
def test_missing_observations_are_in_no_group_of_observations(missing):
    y = np.where(np.arange(ROWS) == 2, np.nan, Y)
    found = quiet(level, y=y, x=np.arange(ROWS), missing=missing, num_steps=3)
    tree = found.to_arviz(num_samples=3)
    for group in ("log_likelihood", "posterior_predictive", "observed_data"):
        rows = tree[group]["row"].values.tolist()
        assert rows == [i for i in range(ROWS) if i != 2], group
    mu = np.asarray(tree.posterior["mu"])[..., None]
    right = norm.logpdf(np.delete(Y, 2), mu, NOISE)
    np.testing.assert_allclose(tree.log_likelihood["obs"], right, rtol=1e-4)


def test_labels_are_codes():
    def words(x, y=None):
        w = numpyro.sample("w", dist.Normal(0, 1).expand([3]).to_event(1))
        return categorical_link(x[:, None] * w, y)

    found = quiet(words, y=TOWN, x=TABLE["age"], num_steps=2)
    tree = found.to_arviz(num_samples=3)
    assert tree.observed_data["obs"].values.tolist() == [2, 1, 0] * 4
    f = TABLE["age"].to_numpy()[:, None] * np.asarray(tree.posterior["w"])[:, :, None]
    right = f - np.log(np.exp(f).sum(-1, keepdims=True))
    right = np.take_along_axis(right, np.array([2, 1, 0] * 4)[None, None, :, None], -1)
    np.testing.assert_allclose(tree.log_likelihood["obs"], right[..., 0], rtol=1e-4)
