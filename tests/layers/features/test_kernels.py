"""Mean inner products of random features against the kernels they stand for.

Every comparison is a z-test with the products' own standard error, at a fixed key; 5 standard
errors are exceeded by chance 6 times in 10 million.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, substitute
from scipy.special import gamma, kv

from numpyro_bayeslayers import layers
from tests.quick import mostly_slow

M = 40_000
DIMENSIONS = (1, 2, 3, 10)


def matern(r, nu):
    """The kernel by its Bessel function (Rasmussen and Williams, equation 4.14)."""
    s = np.where(r == 0, 1.0, np.sqrt(2 * nu) * r)
    return np.where(r == 0, 1.0, 2 ** (1 - nu) / gamma(nu) * s**nu * kv(nu, s))


def exact_rbf(r):
    return np.exp(-0.5 * r**2)


LAYERS = {
    "RBFFourierFeatures": (layers.RBFFourierFeatures.init, exact_rbf),
    "RBFCosineFeatures": (layers.RBFCosineFeatures.init, exact_rbf),
    "VariationalFourierFeatures": (layers.VariationalFourierFeatures.init, exact_rbf),
    "LaplaceFourierFeatures": (
        layers.LaplaceFourierFeatures.init,
        lambda r: np.exp(-r),
    ),
    "LaplaceCosineFeatures": (layers.LaplaceCosineFeatures.init, lambda r: np.exp(-r)),
    "MaternFourierFeatures": (
        layers.MaternFourierFeatures.init,
        lambda r: matern(r, 1.5),
    ),
    "MaternCosineFeatures": (
        lambda *args, **kw: layers.MaternCosineFeatures.init(*args, nu=2.5, **kw),
        lambda r: matern(r, 2.5),
    ),
}


def points(dim):
    """Rows at distances 0 (the diagonal), 0.3, 1 and 2 from the first, in a random direction."""
    direction = np.random.default_rng(dim).normal(size=dim)
    direction /= np.linalg.norm(direction)
    return np.outer([0.0, 0.3, 1.0, 2.0], direction)


def products(layer, x, lengthscale):
    """The term of each frequency in the inner products of the first row with all rows."""
    data = {"f.lengthscale": jnp.asarray(lengthscale)}
    phi = seed(substitute(layer, data=data), 1)(jnp.asarray(x, jnp.float32))
    terms = np.asarray(phi[:1] * phi, np.float64) * layer.n_features
    return terms.reshape(len(x), -1, layer.n_features).sum(1)


@pytest.mark.parametrize("dim", mostly_slow(DIMENSIONS, DIMENSIONS[::2]))
@pytest.mark.parametrize("name", LAYERS)
def test_kernel(name, dim):
    make, exact = LAYERS[name]
    terms = products(make(dim, M, name="f"), points(dim), 0.8)
    error = terms.mean(1) - exact(np.array([0.0, 0.3, 1.0, 2.0]) / 0.8)
    if name.endswith("FourierFeatures"):
        np.testing.assert_allclose(error[0], 0, atol=1e-5)  # exact on the diagonal
        terms, error = terms[1:], error[1:]
    assert np.abs(error / (terms.std(1) / math.sqrt(M))).max() < 5


def test_lengthscale_for_each_input():
    layer = layers.RBFFourierFeatures.init(2, M, lengthscale=[0.5, 2.0], name="f")
    x = np.array([[0.0, 0.0], [0.5, 0.0], [0.0, 2.0]])
    terms = products(layer, x, [0.5, 2.0])[1:]
    error = terms.mean(1) - math.exp(-0.5)
    assert np.abs(error / (terms.std(1) / math.sqrt(M))).max() < 5


def test_independent_student_coordinates_would_be_another_kernel():
    """The trap: one chi-square for each coordinate gives 0.042 where the kernel is 0.368."""
    x = points(10)[[0, 2]]
    layer = layers.LaplaceFourierFeatures(10, M, name="f")
    assert abs(products(layer, x, 1.0).mean(1)[1] - 0.368) < 0.02
    w = np.asarray(jax.random.cauchy(jax.random.key(0), (10, M)))
    wrong = np.cos((x[1] - x[0]) @ w).mean()
    assert abs(wrong - 0.042) < 0.02


def arc_cosine(u, v, order):
    """J_p by its integral over angles, not by the closed forms (Cho and Saul, section 2.1).

    In the plane of u and v: (|u| |v|)^p times the integral of 2 cos(t)^p cos(t - theta)^p,
    where both are positive, over the angle's density and the radius's moment of order 2p.
    """
    norms = np.linalg.norm(u) * np.linalg.norm(v)
    theta = np.arccos(np.clip(u @ v / norms, -1, 1))
    t, weights = np.polynomial.legendre.leggauss(200)
    half = (math.pi - theta) / 2
    t = theta - math.pi / 2 + half * (t + 1)
    inner = (weights * half * (np.cos(t) * np.cos(t - theta)) ** order).sum()
    return 2 * norms**order * inner / (2 * math.pi) * 2**order * math.factorial(order)


@pytest.mark.parametrize("dim", [2, 3, 10])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_arc_cosine_kernel(order, dim):
    x = np.random.default_rng(3).normal(size=(4, dim)) / math.sqrt(dim)
    layer = layers.ArcCosineFourierFeatures.init(dim, M, order=order, name="f")
    terms = products(layer, x, 0.8)
    exact = np.array([arc_cosine(x[0] / 0.8, row / 0.8, order) for row in x])
    assert np.abs((terms.mean(1) - exact) / (terms.std(1) / math.sqrt(M))).max() < 5


@pytest.mark.slow
@pytest.mark.parametrize(("dim", "n_features"), [(4, 8), (4, 6), (10, 10), (3, 2)])
def test_orthogonal_features_are_unbiased_and_vary_less(dim, n_features):
    """4,000 draws each; the variance ratio of two samples of that size has sd of about 4%."""
    x = jnp.asarray(points(dim)[[0, 2]], jnp.float32)
    keys = jax.random.split(jax.random.key(0), 4_000)

    def orthogonal(key):
        phi = layers.OrthogonalRandomFeatures.init(dim, n_features, key=key)(x)
        return phi[0] @ phi[1]

    def independent(key):
        w = jax.random.normal(key, (dim, n_features))
        return jnp.cos((x[1] - x[0]) @ w).mean()

    found = np.asarray(jax.jit(jax.vmap(orthogonal))(keys), np.float64)
    plain = np.asarray(jax.jit(jax.vmap(independent))(keys), np.float64)
    z = (found.mean() - math.exp(-0.5)) / (found.std() / math.sqrt(len(keys)))
    assert abs(z) < 5
    assert found.var() < 0.8 * plain.var()


def test_orthogonal_frequencies():
    features = layers.OrthogonalRandomFeatures.init(3, 7, key=jax.random.key(0))
    w = np.asarray(features.W)
    for block in (w[:, :3], w[:, 3:6]):
        gram = block.T @ block
        np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-5)
    assert w.shape == (3, 7)


def test_orthogonal_features_do_not_train():
    features = layers.OrthogonalRandomFeatures.init(3, 7, key=jax.random.key(0))
    grads = jax.grad(lambda f: f(jnp.ones((2, 3))).sum())(features)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(grads))


def test_prior_means_do_not_train():
    layer = layers.RandomKitchenSinks.init(layers.RBFFourierFeatures(3, 4), 2, name="f")
    grads = jax.grad(lambda f: seed(f, 0)(jnp.ones((2, 3))).sum())(layer)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(grads))


def test_default_guide_starts_at_a_prior_draw():
    """Means of standard normal frequencies: their sample deviation has sd 0.07 (100 draws)."""
    features = layers.VariationalFourierFeatures(5, 20, name="f")

    def model(x):
        features(x)

    guide = layers.VariationalFourierFeatures.default_guide(model)
    seed(guide, 0)(jnp.ones((2, 5)))
    init = guide.init_loc_fn
    assert init.__name__ == "init_to_sample"
    loc = np.asarray(guide.prototype_trace["f.W"]["value"])
    assert abs(loc.std() - 1) < 0.35
