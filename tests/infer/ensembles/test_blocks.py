"""Predictions are cut only where they are asked to be, or memory demands it and they may be."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer.autoguide import AutoDelta

from numpyro_bayeslayers.infer import MCMC, VI, Ensemble, EnsembleSVI, Stein, fit
from numpyro_bayeslayers.infer.ensembles import _blocks
from numpyro_bayeslayers.infer.ensembles._blocks import Cut, cut_to_fit
from tests.quick import mostly_slow

pytestmark = pytest.mark.usefixtures("as_users_run")

KEY = jax.random.key(0)
N = 30
X = np.linspace(0.1, 1.0, N)


def lines(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1))
    numpyro.deterministic("mean", jnp.mean(w * x))
    numpyro.deterministic("f", w * x)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(w * x, 0.01), obs=y)


def cumulated(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1))
    f = numpyro.deterministic("f", w * jnp.cumsum(x))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, 0.01), obs=y)


def table(x, groups, y=None):
    """By chance as many groups as rows: the table is no rows."""
    w = numpyro.sample("w", dist.Normal(0, 1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(w * groups[x], 0.01), obs=y)


def ensemble_of(model, *data):
    ensemble = EnsembleSVI(model, AutoDelta, optax.adam(0.05), num_members=4)
    return ensemble, ensemble.run(KEY, 3, *data, progress_bar=False)


METHODS = {
    "vi": VI(),
    "ensemble": Ensemble(num_members=2),
    "stein": Stein(num_particles=2),
    "mcmc": MCMC(num_warmup=3, num_samples=300, num_chains=1),
}


@pytest.mark.parametrize("method", mostly_slow(METHODS, {"vi"}))
def test_rows_that_see_each_other_are_predicted_whole(method):
    """The draws share one slope: each row of the mean is it times the cumulative sum."""
    steps = {} if method == "mcmc" else {"num_steps": 3}
    found = fit(
        cumulated, y=np.cumsum(X), x=X, method=METHODS[method], progress_bar=False, **steps
    )
    many = np.tile(X, 40)  # 1,200 rows of 300 draws
    mean = np.asarray(found.predict(x=many, num_samples=300).mean)
    expected = mean[-1] / many.sum() * np.cumsum(many)
    # Noise of 0.01 over 300 draws, at 1,200 rows, and single precision.
    np.testing.assert_allclose(mean, expected, atol=0.005, rtol=1e-3)
    with pytest.raises(
        ValueError, match=r"Predictions in blocks of rows would differ.*'y': `loc` of row"
    ):
        found.predict(x=many, batch_size=100)
    assert found.predict(x=X, batch_size=N, num_samples=3).samples.shape[1] == N


def test_a_table_as_long_as_the_rows():
    codes = np.arange(N)[::-1]
    ensemble, result = ensemble_of(table, codes, X, X)
    with pytest.raises(ValueError, match="belongs in `constants` of `fit`"):
        ensemble.predict(KEY, result, codes, X, batch_size=10)
    assert ensemble.predict(KEY, result, codes, X, num_samples=2)["y"].shape == (2, 4, N)


def test_only_what_is_asked_for_must_be_of_one_row():
    ensemble, result = ensemble_of(lines, X, X)
    asked = {"num_samples": 2, "batch_size": 7}
    whole = ensemble.predict(KEY, result, X, num_samples=2, return_sites=["f"])["f"]
    f = ensemble.predict(KEY, result, X, return_sites=["f"], **asked)["f"]
    np.testing.assert_allclose(f, whole, rtol=1e-6)
    with pytest.raises(ValueError, match="'mean': the value is"):
        ensemble.predict(KEY, result, X, return_sites=["mean"], **asked)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("most", "rows", "members"), [(2**31, N, 4), (1000, N, 2), (60, 7, 1)]
)
def test_memory_parts_members_and_then_rows(monkeypatch, most, rows, members):
    """The same numbers, but for the noise of blocks of rows."""
    ensemble, result = ensemble_of(lines, X, X)
    whole = ensemble.predict(KEY, result, X, num_samples=2)
    other, result = ensemble_of(lines, X, X)
    monkeypatch.setattr(_blocks, "MOST_BYTES", most)
    found = other.predict(KEY, result, X, num_samples=2)
    (cut,) = other._predictor._cuts
    assert (cut.rows <= rows, cut.members) == (True, members)
    np.testing.assert_allclose(found["f"], whole["f"], rtol=1e-6)
    if cut.rows == N:
        np.testing.assert_allclose(found["y"], whole["y"], rtol=1e-5)


def test_memory_cuts_no_rows_that_see_each_other(monkeypatch):
    ensemble, result = ensemble_of(cumulated, X, X)
    whole = ensemble.predict(KEY, result, X, num_samples=2)
    other, result = ensemble_of(cumulated, X, X)
    monkeypatch.setattr(_blocks, "MOST_BYTES", 60)
    found = other.predict(KEY, result, X, num_samples=2)
    np.testing.assert_allclose(found["y"], whole["y"], rtol=1e-5)


def test_a_statistic_needs_not_all_draws_at_once():
    program = jax.make_jaxpr(lambda x: jnp.zeros((2**14, 1)) * x)(jnp.ones(2**18))
    of = Cut(2**18, 4)
    assert cut_to_fit(program, of, is_reduced=False).rows == 2**18
    assert cut_to_fit(program, of, is_reduced=True).rows == 2**18 // 8  # of 16 GiB


def test_rows_are_looked_at_once_and_only_for_blocks(compiled):
    ensemble, result = ensemble_of(lines, X, X)
    ensemble.predict(KEY, result, X, num_samples=2)
    before = len(compiled)
    ensemble.predict(KEY, result, X + 1.0, num_samples=2)
    assert len(compiled) == before
    ensemble.predict(KEY, result, X, num_samples=2, batch_size=10)
    before = len(compiled)
    ensemble.predict(KEY, result, X, num_samples=2, batch_size=10)
    assert len(compiled) == before
