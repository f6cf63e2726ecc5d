"""The law of a dense layer's output against weights drawn, and local reparameterization's."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import replay, seed, trace
from scipy import stats

from numpyro_bayeslayers.distributions import DenseNormal
from numpyro_bayeslayers.handlers import local_reparameterization
from numpyro_bayeslayers.layers import DenseReparameterization

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))
W_LOC, W_SCALE = RNG.normal(size=(3, 2)), RNG.uniform(0.1, 1.0, size=(3, 2))
B_LOC, B_SCALE = RNG.normal(size=2), RNG.uniform(0.1, 1.0, size=2)
ALL = (X, W_LOC, W_SCALE, B_LOC, B_SCALE)


def by_loops(x, w_loc, w_scale, b_loc, b_scale):
    loc, var = np.empty((len(x), 2)), np.empty((len(x), 2))
    for n in range(len(x)):
        for j in range(2):
            loc[n, j] = b_loc[j] + sum(x[n, i] * w_loc[i, j] for i in range(3))
            terms = [(x[n, i] * w_scale[i, j]) ** 2 for i in range(3)]
            var[n, j] = b_scale[j] ** 2 + sum(terms)
    return loc, np.sqrt(var)


@pytest.mark.parametrize("args", [ALL, ALL[:4], ALL[:3]], ids=["bias", "known", "none"])
def test_moments_and_density(args):
    d = DenseNormal(*args)
    rest = (np.zeros(2), np.zeros(2))[len(args) - 5 :] if len(args) < 5 else ()
    loc, scale = by_loops(*args, *rest)
    assert (d.batch_shape, d.event_shape) == ((5,), (2,))
    np.testing.assert_allclose(d.mean, loc, rtol=1e-5)
    np.testing.assert_allclose(d.variance, scale**2, rtol=1e-5)
    y = RNG.normal(size=(4, 5, 2))
    expected = stats.norm(loc, scale).logpdf(y).sum(-1)
    np.testing.assert_allclose(d.log_prob(y), expected, rtol=1e-5)


def test_it_is_the_law_of_outputs_of_drawn_weights():
    """Kolmogorov-Smirnov against 50,000 layers: a p-value below 1e-6 is no chance."""
    rng = np.random.default_rng(1)
    w = W_LOC + W_SCALE * rng.normal(size=(50_000, 3, 2))
    b = B_LOC + B_SCALE * rng.normal(size=(50_000, 2))
    d = DenseNormal(*ALL)
    for n, j in ((0, 0), (3, 1)):
        y = X[n] @ w[:, :, j].T + b[:, j]
        law = stats.norm(float(d.loc[n, j]), float(d.scale[n, j]))
        assert stats.kstest(y, law.cdf).pvalue > 1e-6


def test_local_reparameterization_draws_from_it():
    """The gradient estimator on 20,000 copies of a row: a p-value below 1e-6 is no chance."""

    def guide():
        numpyro.sample("a.weight", dist.Normal(W_LOC, W_SCALE).to_event(2))
        numpyro.sample("a.bias", dist.Normal(B_LOC, B_SCALE).to_event(1))

    layer = DenseReparameterization(3, 2, name="a")
    drawn = trace(seed(guide, 0)).get_trace()
    rows = jnp.broadcast_to(jnp.asarray(X[0]), (20_000, 3))
    y = replay(seed(local_reparameterization(layer), 1), drawn)(rows)
    d = DenseNormal(*ALL)
    z = np.asarray((y - d.loc[0]) / d.scale[0])
    for j in range(2):
        assert stats.kstest(z[:, j], stats.norm.cdf).pvalue > 1e-6


def test_batches_of_weights_and_rows_broadcast():
    groups = np.stack([W_LOC, 2 * W_LOC, -W_LOC])[:, None]
    d = DenseNormal(X, groups, W_SCALE, bias_scale=B_SCALE)
    assert (d.batch_shape, d.event_shape) == ((3, 5), (2,))
    for g in range(3):
        alone = DenseNormal(X, groups[g, 0], W_SCALE, bias_scale=B_SCALE)
        np.testing.assert_allclose(d.loc[g], alone.loc, rtol=1e-5)


def test_rows_without_variance():
    """Draws are the mean, the density there is finite, beside it zero, gradients finite."""
    x = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 2.0]])
    make = lambda w_loc, w_scale, x=x: DenseNormal(x, w_loc, w_scale)
    draws = make(W_LOC, W_SCALE).sample(jax.random.key(0))
    np.testing.assert_allclose(draws[0], 0.0, atol=1e-17)
    log_prob = make(W_LOC, W_SCALE).log_prob(draws)
    assert np.isfinite(log_prob).all()
    beside = make(W_LOC, W_SCALE).log_prob(np.full((2, 2), 5.0))
    assert beside[0] == -np.inf
    assert np.isfinite(beside[1])

    def of_draws(*args):
        d = make(*args)
        y = d.sample(jax.random.key(0))
        return jnp.sum(jnp.square(y)) + jnp.sum(d.log_prob(y))

    of_data = lambda *args: make(*args).log_prob(np.full((2, 2), 5.0))[1]
    args = tuple(map(jnp.asarray, (W_LOC, W_SCALE, x)))
    for f in (
        of_draws,
        of_data,
        lambda *args: jnp.sum(make(*args).log_prob(5.0 + 0 * x[:, :2])),
    ):
        for grad in jax.jit(jax.grad(f, (0, 1, 2)))(*args):
            assert jnp.isfinite(grad).all()


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((X, W_LOC[0], W_SCALE), r"`weight_loc` must be a matrix.*got shape \(2,\)"),
        ((X[:, :2], W_LOC, W_SCALE), r"`x` must have 3 entries.*got shape \(5, 2\)"),
        ((X, W_LOC, 0.1), r"`weight_scale` must end in the shape \(3, 2\).*jnp.full"),
        ((X, W_LOC, W_SCALE, np.zeros(3)), "`bias_loc` must have 2 entries"),
        ((X, W_LOC, W_SCALE, B_LOC, np.zeros(3)), "`bias_scale` must have 2 entries"),
        (
            (X, W_LOC, W_SCALE, B_LOC, np.ones((2, 2))),
            r"\(5,\) of `x`, \(2,\) of `bias_scale` do not broadcast",
        ),
        ((X, W_LOC, -W_SCALE), "invalid weight_scale"),
        ((X, W_LOC, W_SCALE, B_LOC, -B_SCALE), "invalid bias_scale"),
    ],
)
def test_errors(args, words):
    with pytest.raises(ValueError, match=words):
        DenseNormal(*args)
