"""Spectral normalization against singular value decompositions by NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import seed, substitute
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.handlers import flipout, mc_dropout
from numpyro_bayeslayers.layers import (
    AbstractLayer,
    DenseReparameterization,
    SpectralNormalization,
    lift,
)
from numpyro_bayeslayers.layers.distance._spectral import largest_singular_value
from numpyro_bayeslayers.primitives import Lookup, linear


class Table(AbstractLayer):
    """A look-up in three rows."""

    name: str

    def _forward(self, index):
        return linear(index, jnp.ones((3, 2)), op=Lookup())


DENSE = DenseReparameterization(8, 5, bias=False, name="f")
EYE = jnp.eye(8)
WEIGHT = np.random.default_rng(0).standard_normal((8, 5))


def applied(weight, **settings):
    """The matrix that the layer multiplies with: its outputs at unit vectors."""
    layer = SpectralNormalization(DENSE, name="n", **settings)
    return seed(substitute(layer, {"n.f.weight": jnp.asarray(weight, float)}), 0)(EYE)


@pytest.mark.parametrize("num_iterations", [30, None])
def test_the_largest_singular_value_is_the_bound(num_iterations):
    found = applied(WEIGHT, norm_bound=0.7, num_iterations=num_iterations)
    expected = WEIGHT * 0.7 / np.linalg.norm(WEIGHT, 2)
    tolerance = (
        1e-6 if num_iterations is None else 1e-3
    )  # here 30 steps are as near as that
    np.testing.assert_allclose(found, expected, rtol=tolerance)


def test_thirty_steps_miss_the_largest_singular_value_by_little():
    """Of 30 random matrices, fixed, and from below: the default bound keeps below 1."""
    matrices = np.random.default_rng(1).standard_normal((30, 64, 48))
    found = jax.jit(largest_singular_value, static_argnums=1)(jnp.asarray(matrices), 30)
    ratio = np.asarray(found) / np.linalg.norm(matrices, 2, axis=(1, 2))
    assert ratio.max() < 1 + 1e-5
    assert ratio.min() > 0.95
    assert ratio.mean() > 0.99


def test_smaller_matrices_stay_as_they_are():
    small = 0.1 * WEIGHT / np.linalg.norm(WEIGHT, 2)
    np.testing.assert_allclose(applied(small), small, rtol=1e-6)
    assert not applied(np.zeros((8, 5))).any()


def test_gradient_is_that_of_the_exact_value():
    """By autodiff through JAX's own singular value decomposition."""
    towards = np.random.default_rng(1).standard_normal((8, 5))

    def exact(w):
        return jnp.sum(towards * w * 0.95 / jnp.linalg.svd(w, compute_uv=False)[0])

    ours = lambda w: jnp.sum(towards * applied(w))
    w = jnp.asarray(WEIGHT)
    expected, found = jax.grad(exact)(w), jax.grad(ours)(w)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_lifted_network_is_bounded_layer_by_layer():
    """A network of slope-one activations stretches no distance by more than the product."""
    mlp = eqx.nn.MLP(3, 2, 16, 2, key=jax.random.key(0))
    net = lift(mlp, {"*": dist.Normal(0.0, 3.0)}, name="net")
    layer = SpectralNormalization(net, 0.9, None, name="n")
    x = jax.random.normal(jax.random.key(1), (20, 3))
    out = np.asarray(seed(layer, 0)(x))
    far = lambda a: np.linalg.norm(a[:, None] - a[None], axis=-1)
    assert (far(out) <= 0.9**3 * far(np.asarray(x)) + 1e-5).all()
    loose = np.asarray(seed(net, 0)(x))
    assert far(loose).max() > far(np.asarray(x)).max()


def test_dropout_outside_meets_the_bounded_weight():
    layer = mc_dropout(SpectralNormalization(DENSE, name="n"), 0.5)
    fixed = substitute(layer, {"n.f.weight": jnp.asarray(WEIGHT)})
    found = np.asarray(seed(fixed, 0)(EYE))
    kept = found.any(1)
    assert 0 < kept.sum() < 8
    np.testing.assert_allclose(
        found[kept], 2 * np.asarray(applied(WEIGHT))[kept], rtol=1e-5
    )


def test_gradient_estimators_keep_the_plain_value_and_say_so():
    def model(x):
        f = SpectralNormalization(DENSE, name="n")(x)
        numpyro.sample("y", dist.Normal(f, 1.0).to_event(2), obs=jnp.zeros((8, 5)))

    guide = AutoNormal(model)
    plain = SVI(model, guide, optax.sgd(0.1), Trace_ELBO())
    state = plain.init(jax.random.key(0), EYE)
    expected = plain.evaluate(state, EYE)
    flipped = SVI(flipout(model), guide, optax.sgd(0.1), Trace_ELBO())
    with pytest.warns(UserWarning, match=r"n\.f\.weight: it is divided by its largest"):
        state = flipped.init(jax.random.key(0), EYE)
    assert flipped.evaluate(state, EYE) == expected


@pytest.mark.usefixtures("as_users_run")
def test_what_is_no_matrix_is_refused_by_name():
    conv = eqx.nn.Conv1d(1, 2, 3, key=jax.random.key(0))
    lifted = lift(conv, {"*": dist.Normal(0.0, 1.0)}, name="conv")
    with pytest.raises(ValueError, match=r"n\.conv\.weight"):
        seed(SpectralNormalization(lifted, name="n"), 0)(jnp.ones((4, 1, 8)))
    cell = eqx.nn.GRUCell(3, 4, key=jax.random.key(0))
    lifted = lift(cell, {"*": dist.Normal(0.0, 1.0)}, name="cell")
    with pytest.raises(ValueError, match="outside a product"):
        seed(SpectralNormalization(lifted, name="n"), 0)(jnp.ones((4, 3)), jnp.ones((4, 4)))
    with pytest.raises(TypeError, match="`layer` must be a layer"):
        SpectralNormalization(lambda x: x)
    with pytest.raises(ValueError, match="Wrap dense layers"):
        seed(SpectralNormalization(Table("t"), name="n"), 0)(jnp.arange(3))
