"""Missing observations: left out, or latents; against fits of the rows that are there."""

import functools

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest

from numpyro_bayeslayers.infer import MCMC, VI, Ensemble, Stein, fit
from numpyro_bayeslayers.layers import categorical_link, gaussian_link, poisson_link

pytestmark = pytest.mark.usefixtures("as_users_run")

quiet = functools.partial(fit, progress_bar=False)
RNG = np.random.default_rng(0)
ROWS, NOISE = 40, 0.5
X = np.stack([np.ones(ROWS), RNG.normal(size=ROWS)], axis=1)
WHOLE = X @ [1.0, -0.5] + NOISE * RNG.normal(size=ROWS)
IS_THERE = np.arange(ROWS) % 4 != 1
Y = np.where(IS_THERE, WHOLE, np.nan)


def others(x, y=None):
    """What it observes is no `y`."""
    numpyro.sample("x", dist.Normal(0, 1), obs=jnp.sum(x))


def linked(x, y=None):
    beta = numpyro.sample("beta", dist.Normal(0, 1).expand([2]).to_event(1))
    return gaussian_link(x @ beta, y, scale=NOISE)


def plated(x, y=None):
    beta = numpyro.sample("beta", dist.Normal(0, 1).expand([2]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("obs", dist.Normal(x @ beta, NOISE), obs=y)


def posterior():
    """By the normal equations of the rows that are there."""
    x, y = X[IS_THERE], WHOLE[IS_THERE]
    covariance = np.linalg.inv(np.eye(2) + x.T @ x / NOISE**2)
    return covariance @ x.T @ y / NOISE**2, covariance


WAYS = [
    (linked, VI()),
    pytest.param(plated, VI(), marks=pytest.mark.slow),
    pytest.param(linked, Ensemble(num_members=2), marks=pytest.mark.slow),
    (plated, Stein(num_particles=3)),
]


@pytest.mark.parametrize(("model", "method"), WAYS)
def test_left_out_are_rows_that_are_not_there(model, method):
    """The same key draws the same latents: losses differ by rounding alone."""
    options = {"method": method, "num_steps": 20}
    found = quiet(model, y=Y, x=X, missing="drop", **options)
    other = quiet(model, y=Y[IS_THERE], x=X[IS_THERE], **options)
    np.testing.assert_allclose(found.losses, other.losses, rtol=1e-4)
    assert found.predict(x=X, num_samples=6).samples.shape == (6, ROWS)


def test_nothing_is_missing():
    options = {"method": VI(), "num_steps": 5, "y": WHOLE, "x": X}
    found = [quiet(linked, missing=m, **options) for m in (None, "drop", "impute")]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].losses, other.losses)
        assert other.draws(num_samples=2).keys() == {"beta"}


def test_minibatches_stand_for_what_is_there():
    """The mode of all rows, within the noise of minibatches: a tenth of a posterior width."""
    options = {"method": VI(guide="delta", optim=0.05), "num_steps": 1500}
    found = quiet(linked, y=Y, x=X, missing="drop", batch_size=10, **options)
    mean, covariance = posterior()
    width = np.sqrt(np.diag(covariance))
    assert (abs(found.params["beta_auto_loc"][0] - mean) < 0.3 * width).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "missing", [pytest.param("drop", marks=pytest.mark.slow), "impute"]
)
def test_chains_draw_the_posterior_of_what_is_there(missing):
    """And of what is not, its predictive law; 6 standard errors at 200 effective draws."""
    method = MCMC(num_warmup=300, num_samples=500, num_chains=2)
    found = quiet(linked, y=Y, x=X, missing=missing, method=method)
    draws = {n: np.asarray(x).reshape(1000, -1) for n, x in found.draws().items()}
    mean, covariance = posterior()
    expected = {"beta": (mean, np.sqrt(np.diag(covariance)))}
    if missing == "impute":
        x = X[~IS_THERE]
        spread = np.sqrt(np.einsum("ni,ij,nj->n", x, covariance, x) + NOISE**2)
        expected["obs_missing"] = (x @ mean, spread)
    assert draws.keys() == expected.keys()
    for name, (centre, std) in expected.items():
        assert (abs(draws[name].mean(0) - centre) < 6 * std / np.sqrt(200)).all()
        assert (abs(draws[name].std(0) / std - 1) < 6 / np.sqrt(2 * 200)).all()
    assert found.predict(x=X[:3], num_samples=6).samples.shape == (6, 3)


@pytest.mark.slow
def test_imputed_by_a_guide_of_full_rank():
    """One that knows how parameters and imputed values depend has the whole posterior."""
    found = quiet(
        plated, y=Y, x=X, missing="impute", method=VI(guide="full_rank"), num_steps=3000
    )
    draws = found.draws(num_samples=4000)
    mean, covariance = posterior()
    width = np.sqrt(np.diag(covariance))
    beta = np.asarray(draws["beta"])[0]
    assert (abs(beta.mean(0) - mean) < 0.15 * width).all()
    np.testing.assert_allclose(beta.std(0), width, rtol=0.15)
    imputed = np.asarray(draws["obs_missing"])[0]
    np.testing.assert_allclose(imputed.mean(0), X[~IS_THERE] @ mean, atol=0.1)
    assert "obs_missing[9]" in found.summary().index


def test_entries_of_several_outputs():
    """Each output keeps the rows that it has, in an event or not."""
    x, whole = X[:12], np.stack([WHOLE[:12], -WHOLE[:12]], axis=1)
    y = np.where(np.arange(24).reshape(12, 2) % 3 == 0, np.nan, whole)

    def model(x, y=None):
        w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
        fn = dist.Normal(x @ jnp.stack([w, -w], 1), NOISE).to_event(1)
        with numpyro.plate("rows", len(x)):
            numpyro.sample("obs", fn, obs=y)

    def apart(first, second, y=None):
        w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
        numpyro.sample(
            "one", dist.Normal(first @ w, NOISE), obs=None if y is None else y[:8]
        )
        numpyro.sample(
            "two", dist.Normal(-second @ w, NOISE), obs=None if y is None else y[8:]
        )

    found = quiet(model, y=y, x=x, missing="drop", num_steps=10)
    there = ~np.isnan(y)
    constants = {"first": x[there[:, 0]], "second": x[there[:, 1]]}
    values = np.concatenate([y[there[:, 0], 0], y[there[:, 1], 1]])
    other = quiet(apart, y=values, constants=constants, num_steps=10)
    np.testing.assert_allclose(found.losses, other.losses, rtol=1e-4)


@pytest.mark.slow
def test_counts_and_words():
    """Gaps of integers and of categories, in a table's own words for them."""
    counts = pd.array([1, None, 3, 0, 2, None], dtype="Int64")
    words = ["b", None, "a", "c", "b", None]
    there = [0, 2, 3, 4]
    x = np.linspace(-1, 1, 6)

    def of_counts(x, y=None):
        w = numpyro.sample("w", dist.Normal(0, 1))
        return poisson_link(w * x, y)

    def of_words(x, y=None):
        w = numpyro.sample("w", dist.Normal(0, 1).expand([3]).to_event(1))
        return categorical_link(x[:, None] * w, y)

    for model, y, rest in (
        (of_counts, counts, [1, 3, 0, 2]),
        (of_words, words, ["b", "a", "c", "b"]),
    ):
        found = quiet(model, y=y, x=x, missing="drop", num_steps=10)
        other = quiet(model, y=rest, x=x[there], num_steps=10)
        np.testing.assert_allclose(found.losses, other.losses, rtol=1e-4)
        assert found.levels == other.levels
        with pytest.raises(ValueError, match="needs a likelihood of real numbers"):
            quiet(model, y=y, x=x, missing="impute", num_steps=10)


def test_rows_are_matched_by_index():
    index = np.arange(ROWS)[::-1]
    table = pd.DataFrame(X, columns=["one", "x"], index=index).sort_index()
    column = pd.Series(Y, index=index)
    found = quiet(linked, y=column, x=table, missing="drop", num_steps=5)
    other = quiet(linked, y=Y, x=X, missing="drop", num_steps=5)
    np.testing.assert_array_equal(found.losses, other.losses)


def centred(x, y=None):
    mu = numpyro.sample("mu", dist.Normal(0, 1))
    numpyro.sample("obs", dist.Normal(mu + (0 if y is None else y.mean()), 1), obs=y)


def counted(x, y=None):
    poisson_link(numpyro.sample("w", dist.Normal(0, 1)) * x[:, 1], y)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (linked, {}, r"`y` has 10 entries .* \(first in row 1\).*missing='drop'"),
        (linked, {"missing": "fill"}, "`missing` must be one of"),
        (linked, {"missing": "impute", "batch_size": 8}, "latent for each missing entry"),
        (centred, {"missing": "drop"}, "reach the likelihood of 'obs' too"),
        (lambda x, y=None: linked(x), {"missing": "drop"}, "`model` must observe `y`"),
        (others, {"missing": "drop"}, "entries reach none"),
        (linked, {"missing": "drop", "y": Y * np.nan}, "`y` must have at least one entry"),
        (linked, {"missing": "drop", "y": np.where(IS_THERE, Y, np.inf)}, "`y` has 10"),
        (counted, {"missing": "drop", "y": Y}, "`y` must be in the support of Poisson"),
    ],
)
def test_errors(model, options, message):
    with pytest.raises(ValueError, match=message):
        quiet(model, **{"y": Y, "x": X, "num_steps": 1} | options)
