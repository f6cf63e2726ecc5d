"""Observations outside of their likelihood's support: said at once, at every door."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import NUTS, SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.infer import (
    MCMC,
    EnsembleMAP,
    EnsembleMCMC,
    EnsembleSVI,
    EnsembleVI,
    Stein,
    fit,
    log_joint_of,
)
from numpyro_bayeslayers.infer.rows._arguments import take_apart
from numpyro_bayeslayers.infer.rows._look import Look

pytestmark = pytest.mark.usefixtures("as_users_run")

X = np.linspace(-1.0, 1.0, 6)
BINARY = np.array([0, 1, 1, 0, 1, 0])


def model(x, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    layers.logit_link(slope * x, y)


def look(model, *args, **kwargs):
    Look(model).at_observations(take_apart(args, kwargs))


def model_of(link, **more):
    return lambda x, y=None, **rows: link(x, y, **more, **rows)


# What is given, to which likelihood, and what is said.
OUTSIDE = {
    "labels from 1": (
        layers.logit_link,
        BINARY + 1,
        r"0 or 1, got in rows 1, 2, 4: 2, 2, 2",
    ),
    "and their mend": (layers.logit_link, BINARY + 1, "give y - 1"),
    "signs": (layers.logit_link, 2 * BINARY - 1, r"give \(y \+ 1\) / 2"),
    "shares": (layers.logit_link, BINARY / 2, "not shares or probabilities"),
    "levels from 1": (
        model_of(layers.ordinal_link, num_classes=3),
        np.array([1, 2, 3, 1, 2, 3]),
        "whole numbers from 0 to 2.*give y - 1",
    ),
    "a level too many": (
        model_of(layers.ordinal_link, num_classes=3),
        np.array([0, 1, 2, 3, 0, 0]),
        r"got in row 3: 3 \(1 of 6\). Labels are counted from 0: renumber them",
    ),
    "a class too many": (
        lambda x, y=None: layers.categorical_link(jnp.outer(x, jnp.ones(2)), y),
        np.array([0, 1, 2, 0, 0, 0]),
        "from 0 to 1",
    ),
    "ends": (
        layers.beta_link,
        X**2,
        r"strictly between 0 and 1, got in rows 0, 5: 1, 1 .*n -",
    ),
    "percent": (layers.beta_link, 50 + X, "give y / 100"),
    "missing": (layers.poisson_link, -BINARY, "Negative codes often mark missing values"),
    "rates": (layers.zip_link, BINARY / 3, "got in rows 1, 2, 4: 0.333333, .*`offset=`"),
    "no logarithm": (layers.lognormal_link, X, "numbers above 0, .*gaussian_link"),
    "trials": (
        lambda x, y=None: numpyro.sample("obs", dist.Binomial(np.arange(6), 0.5), obs=y),
        np.array([0, 1, 2, 4, 5, 5]),
        "in rows 3, 4: 4, 5 .* number of trials",
    ),
    "inside of a support": (
        lambda x, y=None: numpyro.sample("obs", dist.Uniform(0.0, 0.5).expand([6]), obs=y),
        X,
        "numbers from 0 to 0.5",
    ),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_is_said(case):
    """By a fit, which traces `y`, in both shapes of a column."""
    link, y, said = OUTSIDE[case]
    with pytest.raises(
        ValueError, match=f"`y` must be in the support of .* 'obs', .*{said}"
    ):
        fit(lambda x, y=None: link(x, y), y=y, x=X, num_steps=1)


def test_a_column_and_a_mask_are_followed():
    """The observed column of a table, the seen rows: three steps from the arguments."""

    def masked(x, seen, y=None):
        layers.logit_link(x, y, mask=seen)

    y = np.where(X > 0, 7, 1)
    check = lambda seen: look(masked, x=X, seen=seen, y=y[:, None])
    check(X < 0)
    with pytest.raises(ValueError, match=r"got in row 5: 7 \(1 of 6\)"):
        check((X < 0) | (X == 1))
    weighed = lambda x, w, y: layers.logit_link(x, y, weights=w)
    check = lambda w: look(weighed, x=X, w=w, y=y)
    check(np.where(X < 0, 1.0, 0.0))
    with pytest.raises(ValueError, match="negative weight, -1"):
        check(np.where(X < 0, -1.0, 0.0))


def every_door():
    y = BINARY + 1
    optim, key = optax.adam(0.1), jax.random.key(0)
    svi = EnsembleSVI(model, AutoNormal, optim, num_members=2)
    yield "y", lambda: svi.run(0, 1, X, y=y)
    yield "argument 1", lambda: svi.run(0, 1, X, y, batch_size=2)
    yield "argument 1", lambda: svi.run_batches(0, [(X[:2], y[:2])], num_rows=6)
    yield "argument 1", lambda: EnsembleVI(model, AutoNormal, optim, 2).run(0, 1, X, y)
    chains = EnsembleMCMC(NUTS(model), 1, 1, 2)
    yield "argument 1", lambda: chains.run(0, X, y)
    init_fn, log_joint = log_joint_of(model, X[:2], y[:2] - 1)
    yield "argument 1", lambda: EnsembleMAP(log_joint, init_fn, optim, 2).run(0, 1, X, y)
    yield "argument 1", lambda: log_joint_of(model, X, y)
    for method in ("vi", "ensemble", Stein(num_particles=2)):
        yield "y", lambda method=method: fit(model, y=y, x=X, method=method, num_steps=1)
    yield "y", lambda: fit(model, y=y, x=X, method=MCMC())
    yield "y", lambda: fit(model, y=y, x=X, num_steps=1, batch_size=2)
    # NumPyro's own: the link sees the values.
    mcmc = numpyro.infer.MCMC(NUTS(model), num_warmup=1, num_samples=1, progress_bar=False)
    yield "y", lambda: mcmc.run(key, X, y)
    stock = SVI(model, AutoNormal(model), optim, Trace_ELBO())
    yield "y", lambda: stock.init(key, X, y)
    yield "y", lambda: layers.logit_link(X, y)
    yield "y", lambda: jax.jit(lambda x: layers.logit_link(x, y))(X)


def test_every_door_says_so_before_anything_is_compiled(compiled):
    """Beside small steps of JAX's that lead to the values, where there are any."""
    doors = list(every_door())
    assert len(doors) == 16
    for name, call in doors:
        compiled.clear()
        with pytest.raises(
            ValueError, match=f"`{name}` must be in the support.*give y - 1"
        ):
            call()
        is_stock = call is doors[-4][1] or call is doors[-3][1]
        assert is_stock or sum(compiled) < 1.0, (name, compiled)


@pytest.mark.parametrize(
    ("fn", "y"),
    [
        (dist.Exponential(jnp.ones(2)), [0.0, 1.0]),
        (dist.HalfNormal(jnp.ones(2)), [0.0, 1.0]),
        (dist.VonMises(jnp.zeros(2), 1.0), [0.0, 6.0]),
        (dist.Bernoulli(0.5 * jnp.ones(2)), [0.0, 1.0]),
        (dist.Bernoulli(0.5 * jnp.ones(2)), [False, True]),
        (dist.TruncatedNormal(jnp.zeros(2), low=0.0), [0.0, 1.0]),
        (dist.Dirichlet(jnp.ones((2, 2))), [[0.0, 1.0], [0.5, 0.5]]),
        (dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2)), [[0.0, 1.0], [0.5, 0.5]]),
        (dist.Multinomial(3, jnp.ones((2, 2)) / 2), [[1, 2], [3, 0]]),
        (dist.Unit(jnp.zeros(2)), jnp.zeros((2, 0))),
    ],
)
def test_what_a_likelihood_has_passes(fn, y):
    observed = lambda y: numpyro.sample("obs", fn, obs=y)
    look(observed, jnp.asarray(y))


def test_what_is_not_known_before_the_model_runs_passes():
    """A bound that is drawn or optimized; arguments that are traced."""

    def bounded(y):
        high = numpyro.sample("high", dist.HalfNormal(1.0))
        numpyro.sample("obs", dist.Uniform(0.0, high).expand([6]), obs=y)

    def optimized(y):
        high = numpyro.param("high", 0.1, constraint=dist.constraints.positive)
        numpyro.sample("obs", dist.Uniform(0.0, high).expand([6]), obs=y)

    for free in (bounded, optimized):
        look(free, X + 2)
    jax.eval_shape(lambda y: look(model, X, y), BINARY + 1)


def test_all_rows_are_looked_at_where_the_model_takes_some():
    """Each of them is some step's."""

    def subsampled(y=None):
        with numpyro.plate("rows", 6, subsample_size=2) as rows:
            numpyro.sample("obs", dist.Bernoulli(0.5), obs=None if y is None else y[rows])

    y = np.array([0, 0, 0, 0, 1, 3])
    look(subsampled, y[:5].repeat(2)[:6])
    with pytest.raises(ValueError, match="in row 5: 3"):
        look(subsampled, y)
    with pytest.raises(ValueError, match=r"`y` must be .* in row 5: 3"):
        fit(subsampled, y=y, num_steps=1)


def test_a_model_is_traced_once_for_arguments_of_one_kind():
    traced = []

    def counted(x, y=None):
        traced.append(1)
        model(x, y)

    observations = Look(counted)
    for shift in (0, 1):
        observations.at_observations(take_apart((X + shift, BINARY), {}))
    assert len(traced) == 1
    with pytest.raises(ValueError, match="support"):
        observations.at_observations(take_apart((X, BINARY + 1), {}))
    assert len(traced) == 1
