"""Latents of rows: rows of the fit have their own, new rows draws from the prior."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import init_to_value
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import (
    MCMC,
    VI,
    Ensemble,
    EnsembleSVI,
    EnsembleVI,
    Stein,
    fit,
)

pytestmark = pytest.mark.usefixtures("as_users_run")

KEY = jax.random.key(0)
N = 9
X = np.linspace(0.1, 0.9, N)
OWN = 100.0 * np.arange(1, N + 1)  # far from the prior, and from each other
NOISE = 1e-3
# Six standard deviations; of a hundred draws one is further away with probability 2e-7.
CLOSE = 6 * NOISE


def local(x, y=None):
    with numpyro.plate("rows", len(x)):
        z = numpyro.sample("z", dist.Normal(x, 1.0))
        numpyro.sample("y", dist.Normal(z, NOISE), obs=y)


def with_params(x, y=None):
    loc = numpyro.param("loc", jnp.asarray(OWN))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("z", dist.Normal(loc, 1e-6))


def amortized(x, y=None):
    """Of the fit it sees the observations: the law of a row follows from what it observed."""
    shift = numpyro.param("shift", jnp.zeros(()))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("z", dist.Normal(y + shift, 1e-6))


def fitted_to(guide, x=X, y=OWN, model=local, kind=EnsembleSVI):
    """Two members that stay where they start."""
    ensemble = kind(model, guide, optax.sgd(0.0), num_members=2)
    return ensemble, ensemble.run(KEY, 1, x, y, progress_bar=False)


START = init_to_value(values={"z": OWN})
GUIDES = {
    "auto": AutoNormal(local, init_loc_fn=START, init_scale=1e-6),
    "params": with_params,
    "amortized": amortized,
}


@pytest.mark.parametrize("name", GUIDES)
def test_whose_rows(name):
    """The row of a table, some twice, some new: each call draws from the same members."""
    ensemble, result = fitted_to(GUIDES[name])
    predict = lambda x, **how: np.asarray(
        ensemble.predict(KEY, result, x, num_samples=3, **how)["y"]
    )
    expected = lambda rows: np.broadcast_to(OWN[rows], (3, 2, len(rows)))
    close = {"atol": CLOSE + 1e-4, "rtol": 1e-5}
    for rows in ([7], [3, 3, 5], list(range(N)), list(range(N))[::-1]):
        for how in ({}, {"new_rows": False}, {"batch_size": 2}):
            np.testing.assert_allclose(predict(X[rows], **how), expected(rows), **close)
    new = predict(X + 0.01)  # within 6 standard deviations of the prior: false alarm 1e-7
    assert np.abs(new - X - 0.01).max() < 6 and new.std(0).min() > 0
    assert len(np.unique(predict(np.full(4, 0.5 + 0.01))[0, 0])) == 4
    assert np.abs(predict(X, new_rows=True)).max() < 8
    mixed = predict(np.array([X[2], -5.0, X[4]]))
    np.testing.assert_allclose(mixed[..., [0, 2]], expected([2, 4]), **close)
    assert np.abs(mixed[..., 1] + 5).max() < 6
    mixed = predict(np.array([X[2], -5.0, X[4], X[2]]), batch_size=2)
    np.testing.assert_allclose(mixed[..., [0, 2, 3]], expected([2, 4, 2]), **close)
    with pytest.raises(ValueError, match="requires rows of the fit, but the given rows 1"):
        predict(np.array([X[2], -5.0]), new_rows=False)


def test_each_result_has_the_rows_of_its_run():
    """A second run with other data: the first result still knows its own."""
    ensemble, first = fitted_to(with_params)
    second = ensemble.run(KEY, 1, X[::-1] + 2, OWN, progress_bar=False)
    for result, x in ((first, X), (second, X[::-1] + 2)):
        y = ensemble.predict(KEY, result, x[1:3], num_samples=1)["y"]
        np.testing.assert_allclose(y, np.tile(OWN[1:3], (1, 2, 1)), atol=CLOSE)
    assert np.abs(ensemble.predict(KEY, second, X[:1], num_samples=1)["y"]).max() < 8


def test_another_object_knows_the_number_of_rows():
    ensemble, result = fitted_to(GUIDES["auto"])
    other, _ = fitted_to(GUIDES["auto"])
    y = other.predict(KEY, result, x=X, num_samples=1)["y"]
    np.testing.assert_allclose(y, np.tile(OWN, (1, 2, 1)), atol=CLOSE)
    moved = result._replace(params=jax.tree.map(jnp.array, result.params))
    with pytest.raises(
        ValueError, match=r"for each of 9 rows, and 2 rows are given\. The rows"
    ):
        ensemble.predict(KEY, moved, X[:2])


def test_keywords_are_arguments_by_position():
    ensemble, result = fitted_to(with_params)
    y = ensemble.predict(KEY, result, x=X[7:8], num_samples=1)["y"]
    np.testing.assert_allclose(y, np.full((1, 2, 1), OWN[7]), atol=CLOSE)


def test_rows_that_are_alike():
    x = np.repeat(X[:3], 3)
    ensemble, result = fitted_to(with_params, x=x)
    y = ensemble.predict(KEY, result, x, num_samples=1)["y"]
    np.testing.assert_allclose(y, np.tile(OWN, (1, 2, 1)), atol=CLOSE)
    with pytest.raises(ValueError, match=r"the given rows 0, 1 match several of them"):
        ensemble.predict(KEY, result, x[:2])
    assert np.abs(ensemble.predict(KEY, result, x[:2], new_rows=True)["y"]).max() < 8


METHODS = {
    "vi": VI(guide="delta"),
    "ensemble": Ensemble(guide="delta", num_members=2),
    "stein": Stein(num_particles=2),
    "mcmc": MCMC(num_warmup=0, num_samples=2, num_chains=1),
}


def weighted(x, y=None, weights=1.0):
    with numpyro.plate("rows", len(x)), numpyro.handlers.scale(scale=weights):
        z = numpyro.sample("z", dist.Normal(x, 1.0))
        numpyro.sample("y", dist.Normal(z, NOISE), obs=y)


@pytest.mark.parametrize("method", METHODS)
def test_each_method(method):
    """What is predicted of rows of the fit are its own draws; weights may be left out."""
    steps = {} if method == "mcmc" else {"num_steps": 1}
    found = fit(
        weighted, y=X, x=X, weights=X, method=METHODS[method], progress_bar=False, **steps
    )
    z = found.draws()["z"][0] if method == "mcmc" else found.params["z_auto_loc"]
    predict = lambda x, **how: found.predict(x=x, num_samples=len(z), **how).samples
    np.testing.assert_allclose(predict(X[[7, 2, 2]]), z[:, [7, 2, 2]], atol=CLOSE)
    np.testing.assert_allclose(predict(X, batch_size=4), z, atol=CLOSE)
    new = predict(np.full(30, 0.123))
    assert np.abs(new - 0.123).max() < 6 and 0.3 < np.std(new) < 3
    assert found.draws(num_samples=3)["z"].shape[-1] == N


def test_weighted_divergences_are_the_same_ensemble():
    ensemble = EnsembleVI(local, with_params, optax.sgd(0.0), 2)
    result = ensemble.run(KEY, 1, X, OWN, progress_bar=False)
    y = ensemble.svi.predict(KEY, result, X[7:8], num_samples=1)["y"]
    np.testing.assert_allclose(y, np.full((1, 2, 1), OWN[7]), atol=CLOSE)


def walk(x, y=None):
    """Each latent value is the last one and a step."""
    with numpyro.plate("rows", len(x)):
        step = numpyro.sample("z", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(jnp.cumsum(step), NOISE).to_event(1), obs=y)


def process(x, y=None):
    """All latent values at once, and an observation of each."""
    covariance = jnp.exp(-jnp.abs(x[:, None] - x))
    z = numpyro.sample("z", dist.MultivariateNormal(jnp.zeros(len(x)), covariance))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(z, NOISE), obs=y)


def process_guide(x, y=None):
    loc = numpyro.param("loc", jnp.asarray(OWN))
    numpyro.sample("z", dist.Normal(loc, 1e-6).to_event(1))


def test_values_that_hang_together():
    """A part of a walk cannot start anew; a point of a process is known, a new one is not."""
    ensemble, result = fitted_to(with_params, model=walk)
    y = ensemble.predict(KEY, result, X, num_samples=1)["y"]
    np.testing.assert_allclose(y, np.tile(np.cumsum(OWN), (1, 2, 1)), rtol=1e-5)
    for x in (X[3:], X + 1):
        with pytest.raises(ValueError, match=r"that depend on the other rows \('y': `loc`"):
            ensemble.predict(KEY, result, x)
    ensemble, result = fitted_to(process_guide, model=process)
    y = ensemble.predict(KEY, result, X[3:5], num_samples=1)["y"]
    np.testing.assert_allclose(y, np.tile(OWN[3:5], (1, 2, 1)), atol=CLOSE)
    for x in (X + 1, np.append(X, 1.0)):
        with pytest.raises(
            ValueError, match="rows to be predicted can be included in the fit"
        ):
            ensemble.predict(KEY, result, x)


def test_parameters_of_rows():
    """A model's own: rows of the fit have theirs, new ones none."""

    def model(x, y=None):
        loc = numpyro.param("loc", jnp.asarray(OWN)[: len(x)])
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Normal(loc, NOISE), obs=y)

    guide = lambda x, y=None: None
    with pytest.warns(UserWarning, match="The 2 members are identical"):
        ensemble, result = fitted_to(guide, model=model)
    y = ensemble.predict(KEY, result, X[[3, 1]], num_samples=1)["y"]
    np.testing.assert_allclose(y, np.tile(OWN[[3, 1]], (1, 2, 1)), atol=CLOSE)
    with pytest.raises(ValueError, match=r"parameters 'loc' .* the given rows 0, 1 are"):
        ensemble.predict(KEY, result, X[:2] + 1)


def test_other_models_are_not_looked_at(compiled):
    """Rows are compared, and anything compiled for it, only if latents have values for them."""

    def model(x, y=None):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Normal(w * x, 1.0), obs=y)

    ensemble, result = fitted_to(AutoNormal, model=model)
    ensemble.predict(KEY, result, X, num_samples=2)
    before = len(compiled)
    ensemble.predict(KEY, result, X[:4], num_samples=2)
    assert len(compiled) == before, "NumPy takes the program of four rows"
