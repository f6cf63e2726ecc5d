"""Plates that subsample: once in a minibatch, and not at all in a prediction."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, trace

from numpyro_bayeslayers.infer.rows._plates import in_batches, on_all_rows

N = 100
X = jnp.linspace(-1.0, 1.0, N)


def own(x, y=None):
    with numpyro.plate("rows", len(x), subsample_size=25) as rows:
        numpyro.sample("y", dist.Normal(x[rows], 1.0), obs=None if y is None else y[rows])


def own_of_known_size(x, y=None):
    with numpyro.plate("rows", N, subsample_size=25):
        x = numpyro.subsample(x, event_dim=0)
        y = None if y is None else numpyro.subsample(y, event_dim=0)
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)


def for_batches(x, y=None):
    with numpyro.plate("rows", N, subsample_size=len(x)):
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)


def pixels(x, y=None):
    with numpyro.plate("pixels", 64, subsample_size=8):
        numpyro.sample("y", dist.Normal(0.0, 1.0))


def site(model, rows):
    found = trace(seed(model, 0)).get_trace(X[:rows])["y"]
    return found["fn"].batch_shape, found["scale"]


@pytest.mark.parametrize("rows", [7, N])
@pytest.mark.parametrize("model", [own, own_of_known_size, for_batches])
def test_all_rows(model, rows):
    assert site(on_all_rows(model, N), rows)[0] == (rows,)
    assert site(on_all_rows(model, N), rows)[1] in (None, 1.0)


def test_more_rows_than_were_fitted():
    assert site(on_all_rows(own, N), N)[0] == (N,)
    assert trace(seed(on_all_rows(for_batches, 50), 0)).get_trace(jnp.ones(200))


def test_minibatches_are_scaled_outside():
    assert site(for_batches, 20) == ((20,), 5.0)
    assert site(in_batches(for_batches, N), 20) == ((20,), 1.0)
    for model in (own, own_of_known_size):
        with pytest.raises(
            ValueError, match=r"plate 'rows', and `batch_size`.*Leave out `batch_size`"
        ):
            site(in_batches(model, N), 50)


def test_an_autoguide_has_the_rows_that_it_was_fitted_to():
    assert site(on_all_rows(own_of_known_size, N, is_auto=True), N)[0] == (N,)
    assert site(on_all_rows(for_batches, N, is_auto=True), N)[0] == (N,)


def test_other_plates_are_left_alone():
    for model in (pixels, in_batches(pixels, N), on_all_rows(pixels, N)):
        assert site(model, 20) == ((8,), 8.0)
