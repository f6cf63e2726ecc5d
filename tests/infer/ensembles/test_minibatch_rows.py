"""Minibatches count what is a sum over rows for all of them, and refuse what is none."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import block, seed
from numpyro.infer import TraceEnum_ELBO
from numpyro.infer.autoguide import AutoDelta, AutoNormal

from numpyro_bayeslayers.infer import (
    VI,
    EnsembleMAP,
    EnsembleSVI,
    EnsembleVI,
    Stein,
    fit,
    log_joint_of,
)
from tests.infer.svi_problems import X, Y
from tests.quick import mostly_slow

pytestmark = pytest.mark.usefixtures("as_users_run")

KEY = jax.random.key(0)


def weights():
    return numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))


def summed(x, y):
    numpyro.factor("loglik", dist.Normal(x @ weights(), 1.0).log_prob(y).sum())


def with_penalty(x, y):
    w = weights()
    numpyro.factor("penalty", -(w**2).sum())
    numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)


def for_batches(x, y):
    """A plate that knows all rows and is handed some."""
    w = weights()
    with numpyro.plate("rows", 12, subsample_size=len(x)):
        numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)


def enumerated(x, y):
    mu = numpyro.sample("mu", dist.Normal(jnp.array([-1.0, 1.0]), 1.0).to_event(1))
    with numpyro.plate("rows", 12, subsample_size=len(x)):
        k = numpyro.sample("k", dist.Bernoulli(0.3), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(mu[k], 0.3), obs=y)


def without_k(model):
    return AutoDelta(block(seed(model, 0), hide=["k"]))


@pytest.mark.parametrize(
    "model",
    mostly_slow([summed, with_penalty, for_batches, enumerated], [summed, enumerated]),
)
def test_a_pass_of_minibatches_is_the_full_batch(model):
    """At a learning rate of zero, the mean loss over the three batches of a pass is exact."""
    is_enumerated = model is enumerated
    guide = without_k(model) if is_enumerated else AutoDelta
    loss = (TraceEnum_ELBO(),) if is_enumerated else ()
    ensemble = EnsembleSVI(model, guide, optax.sgd(0.0), *loss, num_members=2)
    full = ensemble.run(KEY, 1, X, Y, progress_bar=False)
    parts = ensemble.run(KEY, 3, X, Y, batch_size=4, progress_bar=False)
    np.testing.assert_allclose(parts.losses.mean(1), full.losses[:, 0], rtol=1e-5)


def own_plate(x, y=None):
    w = weights()
    with numpyro.plate("rows", len(x), subsample_size=4) as i:
        numpyro.sample("y", dist.Normal(x[i] @ w, 1.0), obs=None if y is None else y[i])


def cumulated(x, y=None):
    numpyro.sample("y", dist.Normal(jnp.cumsum(x @ weights()), 1.0), obs=y)


def mean_of_rows(x, y=None):
    y = jnp.zeros(len(x)) if y is None else y
    numpyro.factor("loglik", 12 * dist.Normal(x @ weights(), 1.0).log_prob(y).mean())


REFUSED = {
    own_plate: "already subsamples 4 rows in its plate 'rows'",
    cumulated: "rows of the model depend on other rows .'y': `loc` of row",
    mean_of_rows: "rows of the model depend on other rows .the log density of 'loglik' for 7",
}


def by_fit(model, method):
    fit(model, y=Y, x=X, method=method, num_steps=1, batch_size=6, progress_bar=False)


def by_ensemble(kind, model):
    kind(model, AutoNormal, optax.sgd(0.0), 2).run(KEY, 1, X, Y, batch_size=6)


def by_update(model, many):
    ensemble = EnsembleSVI(model, AutoNormal, optax.sgd(0.0), num_members=2)
    if many:
        ensemble.run_batches(KEY, [(X, Y)], num_rows=24)
    else:
        ensemble.update(ensemble.init(KEY, X, Y), X, Y, num_rows=24)


WAYS = {
    "fit": functools.partial(by_fit, method=VI()),
    "stein": functools.partial(by_fit, method=Stein(num_particles=2)),
    "svi": lambda model: EnsembleSVI(model, AutoNormal, optax.sgd(0.0), num_members=2).run(
        KEY, 1, X, Y, batch_size=6
    ),
    "vi": functools.partial(by_ensemble, EnsembleVI),
    "update": functools.partial(by_update, many=False),
    "run_batches": functools.partial(by_update, many=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", REFUSED)
def test_what_is_no_sum_over_rows_is_refused(model, way):
    with pytest.raises(ValueError, match=REFUSED[model]):
        WAYS[way](model)


def regression(w, x, y):
    return -jnp.square(y - x @ w).sum(), -jnp.square(w).sum()


def mean_likelihood(w, x, y):
    return -jnp.square(y - x @ w).mean(), -jnp.square(w).sum()


def cumulated_likelihood(w, x, y):
    return -jnp.square(y - jnp.cumsum(x @ w)).sum(), -jnp.square(w).sum()


def prior_of_rows(w, x, y):
    return -jnp.square(y - x @ w).sum(), -jnp.square(w * x.std(0)).sum()


@pytest.mark.parametrize(
    ("log_joint", "message"),
    [
        (mean_likelihood, "must be a sum of log densities over rows; the log density of"),
        (cumulated_likelihood, "must be a sum of log densities over rows; the log dens"),
        (prior_of_rows, "log prior that `log_joint` returns must not depend on the rows"),
        (lambda w, x, y: (w.sum(), 0.0), "it is the same for all rows"),
        (log_joint_of(for_batches, X, Y)[1], "must be a sum of log densities over rows"),
    ],
)
def test_modes_of_what_is_no_sum_over_rows(log_joint, message):
    is_model = log_joint.__name__ == "log_joint"
    start = {"w": jnp.zeros(2)} if is_model else jnp.zeros(2)
    ensemble = EnsembleMAP(log_joint, lambda key: start, optax.sgd(0.0), 1)
    with pytest.raises(ValueError, match=message):
        ensemble.run(KEY, 1, X, Y, batch_size=6, progress_bar=False)
    assert ensemble.run(KEY, 1, X, Y, progress_bar=False).losses.shape == (1, 1)


def test_modes_of_sums_over_rows():
    ensemble = EnsembleMAP(regression, lambda key: jnp.zeros(2), optax.sgd(0.0), 1)
    full = ensemble.run(KEY, 1, X, Y, progress_bar=False)
    parts = ensemble.run(KEY, 3, X, Y, batch_size=4, progress_bar=False)
    np.testing.assert_allclose(parts.losses.mean(1), full.losses[:, 0], rtol=1e-5)


def test_parameters_of_each_row_are_refused():
    """Under any guide; one that computes the law of a row from the row may stay."""

    def local(x, y):
        with numpyro.plate("rows", len(x)):
            z = numpyro.sample("z", dist.Normal(0, 1))
            numpyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def guide(x, y):
        loc = numpyro.param("loc", jnp.zeros(len(x)))
        with numpyro.plate("rows", len(x)):
            numpyro.sample("z", dist.Normal(loc, 1.0))

    ensemble = EnsembleSVI(local, guide, optax.sgd(0.0), num_members=2)
    with pytest.raises(ValueError, match="the guide would use the parameters of other"):
        ensemble.run(KEY, 1, X, Y, batch_size=4, progress_bar=False)
