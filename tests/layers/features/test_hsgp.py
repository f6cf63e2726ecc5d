"""Hilbert-space processes against exact kernels, NumPyro's own functions, and SciPy."""

import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.contrib.hsgp.laplacian import eigenfunctions
from numpyro.contrib.hsgp.spectral_densities import (
    diag_spectral_density_matern,
    diag_spectral_density_squared_exponential,
)
from numpyro.handlers import seed, substitute, trace
from scipy.special import ive

from numpyro_bayeslayers.basis import laplacian_eigenfunctions
from numpyro_bayeslayers.layers import (
    HSGPFeatures,
    MaternKernel,
    PeriodicKernel,
    RBFKernel,
)
from tests.quick import mostly_slow


def gram(layer, x, **hyperparameters):
    """The covariance that the layer's features give to its function."""
    data = {f"f.kernel.{name}": value for name, value in hyperparameters.items()}
    law = seed(substitute(layer.marginal, data=data), 0)(jnp.asarray(x), 1.0)
    return np.asarray(law.covariance_matrix - jnp.eye(len(x)), np.float64)


def exact(kernel, x, variance, lengthscale):
    r = np.linalg.norm((x[:, None] - x[None]) / lengthscale, axis=-1)
    if isinstance(kernel, RBFKernel):
        return variance * np.exp(-0.5 * r**2)
    s = math.sqrt(2 * kernel.nu) * r
    polynomial = {0.5: 1.0, 1.5: 1 + s, 2.5: 1 + s + s**2 / 3}[kernel.nu]
    return variance * polynomial * np.exp(-s)


KERNELS = [RBFKernel(), MaternKernel(nu=0.5), MaternKernel(nu=1.5), MaternKernel(nu=2.5)]
NAMES = ["rbf", "matern12", "matern32", "matern52"]


@pytest.mark.parametrize("dim", mostly_slow([1, 2]))
@pytest.mark.parametrize("kernel", KERNELS, ids=NAMES)
def test_gram_matrix_converges(kernel, dim):
    """The error shrinks as M grows; smooth kernels reach float32 accuracy in one dimension."""
    x = np.random.default_rng(0).uniform(-1, 1, (12, dim)).astype(np.float32)
    target = exact(kernel, x, 0.7, 0.5)
    sizes = {1: (8, 16, 64), 2: (6, 12, 24)}[dim]
    errors = []
    for size in sizes:
        layer = HSGPFeatures.init(dim, size, 2.5, kernel=kernel, name="f")
        errors.append(np.abs(gram(layer, x, variance=0.7, lengthscale=0.5) - target).max())
    assert errors[0] > errors[1] > errors[2]
    limit = {"rbf": 2e-5, "matern12": 0.1, "matern32": 0.01, "matern52": 2e-3}
    assert errors[-1] < limit[NAMES[KERNELS.index(kernel)]] * (1 if dim == 1 else 30)


@pytest.mark.parametrize(
    "kernel", [RBFKernel(), MaternKernel(nu=1.5)], ids=["rbf", "matern"]
)
def test_agrees_with_numpyro(kernel):
    """Basis and coefficients are those of numpyro.contrib.hsgp, in three dimensions."""
    x = np.random.default_rng(0).uniform(-1, 1, (7, 3)).astype(np.float32)
    sizes, box = [4, 3, 2], [1.5, 2.0, 1.2]
    np.testing.assert_allclose(
        laplacian_eigenfunctions(jnp.asarray(x), sizes, box),
        eigenfunctions(x, box, sizes),
        atol=2e-6,
    )
    layer = HSGPFeatures.init(3, sizes, box, kernel=kernel, name="f")
    stds = substitute(
        seed(kernel, 0),
        data={"rbf_kernel.variance": 0.7, "rbf_kernel.lengthscale": 0.5}
        | {"matern_kernel.variance": 0.7, "matern_kernel.lengthscale": 0.5},
    )(layer._frequencies())
    if isinstance(kernel, RBFKernel):
        theirs = diag_spectral_density_squared_exponential(0.7, 0.5, box, sizes, dim=3)
    else:
        theirs = diag_spectral_density_matern(1.5, 0.7, 0.5, box, sizes, dim=3)
    np.testing.assert_allclose(jnp.square(stds), theirs, rtol=2e-4)


def test_lengthscale_for_each_input():
    x = np.random.default_rng(0).uniform(-1, 1, (12, 2)).astype(np.float32)
    lengthscales = np.array([0.5, 1.0])
    kernel = RBFKernel(variance=0.7, lengthscale=lengthscales)
    layer = HSGPFeatures.init(2, (24, 16), (2.5, 4.0), kernel=kernel, name="f")
    target = exact(kernel, x, 0.7, lengthscales)
    np.testing.assert_allclose(gram(layer, x), target, atol=1e-3)


def test_periodic_kernel():
    x = np.random.default_rng(0).uniform(-5, 5, (12, 1)).astype(np.float32)
    layer = HSGPFeatures.init(1, 20, 1.0, kernel=PeriodicKernel(period=3.0), name="f")
    assert layer.num_basis == 39
    r = x - x.T
    target = 0.7 * np.exp(-2 * np.sin(np.pi * r / 3.0) ** 2 / 0.8**2)
    found = gram(layer, x, variance=0.7, lengthscale=0.8)
    np.testing.assert_allclose(found, target, atol=1e-5)


@pytest.mark.parametrize("lengthscale", [0.05, 0.3, 1.0, 5.0])
def test_periodic_coefficients_are_scaled_bessel_functions(lengthscale):
    kernel = PeriodicKernel(variance=1.0, lengthscale=lengthscale)
    stds = np.asarray(seed(kernel, 0)(np.arange(40)[:, None]), np.float64)
    expected = ive(np.arange(40), lengthscale**-2.0) * np.where(np.arange(40) == 0, 1, 2)
    keep = expected > 1e-35  # below, float32 has no digits
    np.testing.assert_allclose(stds[keep] ** 2, expected[keep], rtol=2e-4)


@pytest.mark.parametrize("kernel", [*KERNELS, PeriodicKernel()], ids=[*NAMES, "periodic"])
@pytest.mark.parametrize("size", mostly_slow([1, 8, 64], {8}))
def test_gradients_are_finite(kernel, size):
    """float32, lengthscales from 0.05 to 5: also where the spectral density underflows."""
    layer = HSGPFeatures.init(1, size, 2.0, kernel=kernel, name="f")
    x = jnp.linspace(-1.5, 1.5, 5)[:, None]
    alpha = jnp.ones(layer.num_basis)

    def energy(hyperparameters):
        data = {f"f.kernel.{k}": v for k, v in hyperparameters.items()}
        f = seed(substitute(layer, data=data | {"f.alpha": alpha}), 0)(x)
        return jnp.sum(jnp.square(f))

    grad = jax.jit(jax.vmap(jax.grad(energy)))
    lengthscales = jnp.geomspace(0.05, 5.0, 30)
    grads = grad({"lengthscale": lengthscales, "variance": jnp.ones(30)})
    assert all(jnp.isfinite(g).all() for g in grads.values())


def test_sites_stand_under_the_layer():
    def model(x):
        HSGPFeatures.init(1, 4, 2.0, kernel=RBFKernel(), name="a")(x)
        HSGPFeatures.init(1, 4, 2.0, kernel=RBFKernel(1.0, dist.Gamma(2.0)), name="b")(x)
        HSGPFeatures(1, 4, 2.0, MaternKernel(1.0, 2.0), 3, name="c")(x)

    sites = trace(seed(model, 0)).get_trace(jnp.zeros((5, 1)))
    assert list(sites) == [
        "a.kernel.variance",
        "a.kernel.lengthscale",
        "a.alpha",
        "b.kernel.lengthscale",
        "b.alpha",
        "c.alpha",
    ]
    assert sites["c.alpha"]["fn"].event_shape == (4, 3)


def test_rows_outside_of_the_box_are_reported():
    layer = HSGPFeatures.init(2, 4, (1.0, 2.0), kernel=RBFKernel(), name="f")
    with pytest.warns(UserWarning, match=r"`x` leaves the box of `L`=\(1\.0, 2\.0\)"):
        seed(layer, 0)(jnp.array([[0.5, 2.5]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seed(layer, 0)(jnp.array([[-1.0, 2.0]]))


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda k: HSGPFeatures.init(2, (4, 4, 4), 1.0, kernel=k),
            ValueError,
            "`num_basis_",
        ),
        (
            lambda k: HSGPFeatures.init(2, 4, (1.0,), kernel=k),
            ValueError,
            "`L` must be one",
        ),
        (lambda k: HSGPFeatures.init(2, 4, -1.0, kernel=k), ValueError, "`L` must be pos"),
        (
            lambda k: HSGPFeatures.init(2, 0, 1.0, kernel=k),
            ValueError,
            "`num_basis_per_dim`",
        ),
        (
            lambda k: HSGPFeatures.init(2, 4, 1.0, kernel="rbf"),
            TypeError,
            "`kernel` must be",
        ),
        (
            lambda k: HSGPFeatures.init(2, 4, 1.0, kernel=PeriodicKernel()),
            ValueError,
            "PeriodicKernel has one input",
        ),
        (lambda k: RBFKernel(variance=-1.0), ValueError, "`variance` must be positive"),
        (
            lambda k: RBFKernel(lengthscale=dist.Gamma(2.0).expand([2])),
            ValueError,
            r"prior of `lengthscale`.*to_event",
        ),
        (lambda k: MaternKernel(nu=2.0), ValueError, "`nu` must be one of"),
        (lambda k: PeriodicKernel(period=0.0), ValueError, "`period` must be positive"),
        (
            lambda k: seed(
                HSGPFeatures.init(2, 4, 1.0, kernel=RBFKernel(lengthscale=[1.0, 2.0, 3.0])),
                0,
            )(jnp.zeros((5, 2))),
            ValueError,
            "one for each of the 2 inputs",
        ),
    ],
)
def test_errors(make, error, match):
    with pytest.raises(error, match=match):
        make(RBFKernel())


def test_frequencies_of_a_periodic_kernel_are_known_before_compilation():
    kernel = PeriodicKernel(variance=1.0, lengthscale=1.0)
    with pytest.raises(TypeError, match="`frequencies` must be known when the program is"):
        jax.jit(kernel)(np.arange(3)[:, None])
