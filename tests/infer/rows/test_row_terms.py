"""How the sites of a model take its rows: apart, as a sum, not at all, or jointly."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan

from numpyro_bayeslayers.infer.rows._arguments import take_apart
from numpyro_bayeslayers.infer.rows._row_terms import row_terms
from numpyro_bayeslayers.infer.rows._spread import spread

pytestmark = pytest.mark.usefixtures("as_users_run")

rng = np.random.default_rng(0)
X, Y = rng.normal(size=30), rng.normal(size=30)


def slope():
    return numpyro.sample("w", dist.Normal(0, 1))


def plain(x, y):
    w = slope()
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(w * x, 1.0), obs=y)


def one_event(x, y):
    numpyro.sample("y", dist.Normal(slope() * x, 1.0).to_event(1), obs=y)


def factor(x, y):
    numpyro.factor("y", -jnp.square(y - slope() * x))


def vectors(x, y):
    law = dist.MultivariateNormal(jnp.stack([x, slope() * x], -1), jnp.eye(2))
    numpyro.sample("y", law, obs=jnp.stack([y, y], -1))


def mixture(x, y):
    parts = dist.Normal(jnp.stack([x, slope() * x], -1), 1.0)
    numpyro.sample(
        "y", dist.MixtureSameFamily(dist.Categorical(jnp.ones(2) / 2), parts), obs=y
    )


def own_units(x, y):
    numpyro.sample("y", dist.Normal(1e6 + slope() * x, 1e5), obs=1e6 + y)


def improper(x, y):
    b = numpyro.sample("w", dist.ImproperUniform(dist.constraints.positive, (), ()))
    numpyro.sample("y", dist.Normal(b * x, 1.0), obs=y)


def noisy(x, y):
    moved = x + jax.random.normal(numpyro.prng_key(), x.shape)
    numpyro.sample("y", dist.Normal(slope() * moved, 1.0), obs=y)


def local(x, y):
    with numpyro.plate("rows", len(x)):
        z = numpyro.sample("z", dist.Normal(0, 1))
        k = numpyro.sample("k", dist.Bernoulli(0.3))
        numpyro.sample("y", dist.Normal(z + k, 1.0), obs=y)


APART = [plain, one_event, factor, vectors, mixture, own_units, improper, noisy, local]


def summed(x, y):
    numpyro.factor("y", dist.Normal(slope() * x, 1.0).log_prob(y).sum())


def twice_as_many(x, y):
    numpyro.sample("y", dist.Normal(jnp.repeat(slope() * x, 2), 1.0), obs=jnp.repeat(y, 2))


def cumulated(x, y):
    numpyro.sample("y", dist.Normal(slope() * jnp.cumsum(x), 1.0), obs=y)


def noisy_and_cumulated(x, y):
    moved = x + jax.random.normal(numpyro.prng_key(), x.shape)
    numpyro.sample("y", dist.Normal(slope() * jnp.cumsum(moved), 1.0), obs=y)


def lagged(x, y):
    numpyro.sample("y", dist.Normal(slope() * y[:-1], 1.0), obs=y[1:])


def long_lag(x, y):
    """It does not run on seven rows."""
    before = jnp.concatenate([jnp.zeros(9), x[:-9]])
    numpyro.sample("y", dist.Normal(slope() * before, 1.0), obs=y)


def centered(x, y):
    numpyro.sample("y", dist.Normal(slope() * (x - x.mean()), 1.0), obs=y)


def numbered(x, y):
    numpyro.sample("y", dist.Normal(slope() * jnp.arange(len(x)), 1.0), obs=y)


def hidden_by_zero(x, y):
    """The parameter starts where nothing is seen."""
    numpyro.sample("y", dist.Normal(numpyro.param("w", 0.0) * jnp.cumsum(x), 1.0), obs=y)


def process(x, y):
    kernel = jnp.exp(-jnp.square(x[:, None] - x)) + jnp.eye(len(x))
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(len(x)), kernel), obs=y)


def mean_of_rows(x, y):
    numpyro.factor("y", 30 * dist.Normal(slope() * x, 1.0).log_prob(y).mean())


def shared_weights(x, y):
    with numpyro.handlers.scale(scale=jnp.square(x) / jnp.square(x).sum()):
        numpyro.sample("y", dist.Normal(slope(), 1.0).expand([len(x)]), obs=y)


def states(x, y):
    def step(state, row):
        state = numpyro.sample("z", dist.Normal(state, 1.0))
        return state, numpyro.sample("y", dist.Normal(state, 1.0), obs=row)

    scan(step, 0.0, y)


JOINT = [
    cumulated,
    noisy_and_cumulated,
    lagged,
    long_lag,
    centered,
    numbered,
    hidden_by_zero,
    process,
    mean_of_rows,
    shared_weights,
    states,
]


def terms(model, x=X, y=Y, size=10):
    return row_terms(model, take_apart((x, y), {}), size)


@pytest.mark.parametrize("model", APART)
def test_rows_apart(model):
    found = {name: term.kind for name, term in terms(model).items()}
    w = {} if model is local else {"w": "constant"}
    rows = ("z", "k", "y") if model is local else ("y",)
    assert found == w | dict.fromkeys(rows, "apart")


@pytest.mark.parametrize("model", [summed, twice_as_many])
def test_sums_over_rows(model):
    assert terms(model)["y"].kind == "summed"


@pytest.mark.parametrize("model", JOINT)
def test_rows_that_see_each_other(model):
    found = terms(model)["y"]
    assert found.kind == "joint"
    assert "'y'" in found.reason


def test_the_reason_is_in_figures():
    """The mean of row 5 is w X[5] alone, and w (X[0] + X[5]) after row 0."""
    w = float(spread((), 1))
    reason = terms(cumulated)["y"].reason
    assert f"`loc` of row 5 is {w * (X[0] + X[5]):.4g} with 6 other rows" in reason
    assert f"and {w * X[5]:.4g} with different ones" in reason
    assert "the log density of 'y' for 7 rows is" in terms(mean_of_rows)["y"].reason


def test_what_is_no_likelihood_of_rows():
    def model(x, y):
        w = numpyro.sample("w", dist.Normal(x.mean(), 1.0))
        t = numpyro.sample("t", dist.HalfNormal(1 / len(x)))
        numpyro.factor("penalty", -(w**2))
        numpyro.sample("other", dist.Normal(w, t), obs=jnp.ones(3))
        numpyro.deterministic("curve", w * x)
        numpyro.deterministic("sum", jnp.cumsum(x))
        walk = numpyro.sample("walk", dist.GaussianRandomWalk(1.0, num_steps=len(x)))
        numpyro.sample("y", dist.Normal(walk, 1.0), obs=y)

    found = {name: term.kind for name, term in terms(model).items()}
    assert found == {
        "w": "joint",  # its prior depends on which rows are there
        "t": "joint",  # and this one on how many
        "penalty": "constant",
        "other": "constant",  # at one value of `w` and `t`
        "curve": "apart",
        "sum": "joint",
        "walk": "joint",
        "y": "apart",
    }


def test_nothing_to_compare():
    assert terms(plain, X[:1], Y[:1], 1) is None
    seen = []
    jax.eval_shape(lambda x, y: seen.append(terms(plain, x, y)), X, Y)
    assert seen == [None]


def test_what_the_model_raises():
    def broken(x, y):
        raise KeyError("depth")

    with pytest.raises(KeyError, match="depth"):
        terms(broken)


def test_values_are_spread():
    """Inside of (-1, 1), with the moments of a uniform law; other ones for another site."""
    x = np.asarray(spread((40, 50), 3))
    assert x.min() > -1 and x.max() < 1
    assert abs(x.mean()) < 2e-3 and abs(x.std() - 3**-0.5) < 2e-3
    assert abs(np.corrcoef(x[:-1].ravel(), x[1:].ravel())[0, 1]) < 0.5
    assert np.all(x != spread((40, 50), 4))
