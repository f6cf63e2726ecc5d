"""Predictions ask for what the fit had, where it matters."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer.autoguide import AutoDelta

from numpyro_bayeslayers.infer import EnsembleSVI, EnsembleVI

X = np.linspace(0, 1, 6)
QUIET = {"progress_bar": False}


def counts(x, y=None, offset=None, weights=None, mask=None, sd=1.0, train=False):
    """Everything but the offset and `sd` is only for the observations, or for the way."""
    w = numpyro.sample("w", dist.Normal(0, sd))
    rate = w * x if offset is None else w * x + offset
    if train:
        rate = rate + 0.0
    with (
        numpyro.plate("rows", len(x)),
        numpyro.handlers.scale(scale=1.0 if weights is None else weights),
    ):
        with numpyro.handlers.mask(mask=True if mask is None else mask):
            numpyro.sample("y", dist.Poisson(jnp.exp(rate)), obs=y)


def fitted(model, *args, **kwargs):
    ensemble = EnsembleSVI(model, AutoDelta, optax.adam(0.1), num_members=2)
    return ensemble, ensemble.run(0, 3, *args, **QUIET, **kwargs)


@pytest.mark.parametrize("by_name", [True, False])
def test_an_offset_of_the_fit_is_asked_for(by_name):
    """By position or by name; given, or given as another one, it is used."""
    more = {"offset": X} if by_name else {}
    ensemble, result = fitted(counts, X, np.ones(6), *(() if by_name else (X,)), **more)
    with pytest.raises(ValueError, match=r"`offset` must be given: .*use `offset`=None"):
        ensemble.predict(1, result, X)
    drawn = ensemble.predict(1, result, X, offset=X + 9, num_samples=2)["y"]
    assert drawn.min() > 100
    assert ensemble.predict(1, result, X, None, X, num_samples=2)["y"].shape == (2, 2, 6)


def test_what_no_draw_depends_on_may_be_left_out():
    rows = {"weights": np.full(6, 2.0), "mask": X > 0.5, "train": True}
    ensemble, result = fitted(counts, X, np.ones(6), **rows)
    assert ensemble.predict(1, result, X, num_samples=2)["y"].shape == (2, 2, 6)


@pytest.mark.slow
def test_another_number_is_asked_for():
    ensemble, result = fitted(counts, X, np.ones(6), sd=3.0)
    with pytest.raises(ValueError, match=r"`sd` must be given: .*of 1\.0 in place of 3\.0"):
        ensemble.predict(1, result, X)
    assert set(ensemble.predict(1, result, X, sd=3.0, num_samples=2)) == {"y"}
    ensemble, result = fitted(counts, X, np.ones(6), sd=1.0)
    assert set(ensemble.predict(1, result, X, num_samples=2)) == {"y"}


def test_observations_may_be_left_out_that_the_model_looks_at():
    """One row follows the one before it; what is new is drawn one by one."""

    def walk(y=None, n=6):
        slope = numpyro.sample("slope", dist.Normal(0, 1))
        if y is None:
            last = jnp.zeros(())
            for i in range(n):
                last = numpyro.sample(f"y_{i}", dist.Normal(slope * last, 1.0))
        else:
            before = jnp.concatenate([jnp.zeros(1), y[:-1]])
            numpyro.sample("y", dist.Normal(slope * before, 1.0).to_event(1), obs=y)

    ensemble, result = fitted(walk, X)
    found = ensemble.predict(1, result, num_samples=2, return_sites=["y_5"])
    assert found["y_5"].shape == (2, 2)


def test_arguments_of_a_tree_and_of_no_name():
    def model(*args, **kwargs):
        w = numpyro.sample("w", dist.Normal(0, 1))
        shift = args[2]["shift"] if len(args) > 2 else 0.0
        obs = args[1] if len(args) > 1 else None
        numpyro.sample("y", dist.Normal(w * args[0] + shift, 1.0).to_event(1), obs=obs)

    ensemble, result = fitted(model, X, X, {"shift": X})
    with pytest.raises(ValueError, match="`argument 2` must be given"):
        ensemble.predict(1, result, X)


def test_a_weight_on_the_divergence_changes_nothing():
    ensemble = EnsembleVI(counts, AutoDelta, optax.adam(0.1), 2)
    result = ensemble.run(0, 3, X, np.ones(6), X, **QUIET)
    with pytest.raises(ValueError, match="`offset` must be given"):
        ensemble.svi.predict(1, result, X)
