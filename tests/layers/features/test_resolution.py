"""Whether a basis has functions as short as its process: by default, and said after a fit."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, substitute, trace
from scipy.integrate import quad

from numpyro_bayeslayers.infer import fit
from numpyro_bayeslayers.infer.fitting._look import look_at_fit, medians
from numpyro_bayeslayers.infer.rows._arguments import take_apart
from numpyro_bayeslayers.infer.rows._look import Look
from numpyro_bayeslayers.infer.training._member import Drawn
from numpyro_bayeslayers.layers import (
    GaussianProcessEffectsLayer,
    HSGPFeatures,
    MaternKernel,
    PeriodicKernel,
    RBFKernel,
    gaussian_link,
)

KERNELS = [RBFKernel(), *(MaternKernel(nu=nu) for nu in (0.5, 1.5, 2.5))]


@pytest.mark.parametrize("kernel", KERNELS)
def test_share_is_the_integral_of_the_spectral_density(kernel):
    ell, count, half = 0.3, 7, 1.5
    density = lambda w: float(np.exp(kernel._log_density(jnp.square(ell * w), 1)))
    last = count * np.pi / (2 * half)
    with jax.enable_x64(True):
        within = quad(density, 0, last)[0]
        expected = within / (within + quad(density, last, np.inf)[0])
    assert kernel._share(ell, count, half) == pytest.approx(expected, rel=1e-5)
    needed = kernel._needed(ell, half)
    shares = [kernel._share(ell, n, half) for n in (needed - 1, needed)]
    assert shares[0] < 0.99 <= shares[1]


@pytest.mark.parametrize("ell", [0.1, 1.0, 3.0])
def test_share_of_a_periodic_kernel_is_that_of_its_fourier_series(ell):
    kernel, r = PeriodicKernel(), np.arange(512) / 512
    waves = np.fft.rfft(np.exp(-2 * np.sin(np.pi * r) ** 2 / ell**2)).real / 512
    shares = np.cumsum(waves * np.where(np.arange(len(waves)) == 0, 1, 2))
    found = [kernel._share(ell, n, 1.0) for n in range(1, 30)]
    np.testing.assert_allclose(found, shares[:29], atol=1e-9)
    assert kernel._needed(ell, 1.0) == int(np.argmax(shares >= 0.99)) + 1


@pytest.mark.parametrize(
    ("kernel", "categories", "expected"),
    [
        (MaternKernel(), 5, 20),
        (MaternKernel(), 53, 78),
        # Of LogNormal(0, 1) one lengthscale in 10,000 is below 0.0243; Student's t of 5 degrees
        # is within 6.869 with probability 0.999: 6.869 * 3 / (pi 0.0243).
        (MaternKernel(), 365, 271),
        # InverseGamma(5, 5): one in 10,000 below 0.29, by draws.
        (MaternKernel(lengthscale=dist.InverseGamma(5.0, 5.0)), 365, (20, 25)),
        (RBFKernel(lengthscale=0.1), 365, 32),
        (RBFKernel(lengthscale=1e-3), 900, 500),
        (PeriodicKernel(period=1.0), 365, 2 * 92 - 1),
    ],
)
def test_default_size_follows_categories_and_prior(kernel, categories, expected):
    layer = GaussianProcessEffectsLayer(kernel)

    def beta(key):
        sites = trace(seed(layer, key)).get_trace("g", np.arange(3), categories)
        return sites["g.beta"]["value"]

    found = jax.eval_shape(beta, jax.random.key(0)).shape[0]
    low, high = expected if isinstance(expected, tuple) else (expected, expected)
    assert low <= found <= high


def test_a_prior_that_is_drawn_has_no_shortest_lengthscale():
    def beta(key, scale):
        kernel = MaternKernel(lengthscale=dist.LogNormal(0.0, scale))
        layer = GaussianProcessEffectsLayer(kernel)
        return trace(seed(layer, key)).get_trace("g", np.arange(3), 53)["g.beta"]["value"]

    assert jax.eval_shape(beta, jax.random.key(0), 1.0).shape == (78, 1)


@pytest.mark.parametrize(("num_basis", "low", "high"), [(None, 0.0, 1e-3), (20, 0.4, 1.0)])
def test_days_of_a_year_with_a_process_of_a_week(num_basis, low, high):
    """The prior covariance of the effects against the kernel: the default is right."""
    ell = 14 / 364  # seven days, in half ranges
    layer = GaussianProcessEffectsLayer(MaternKernel(1.0, ell), num_basis)
    size = layer._size(2 / 364)
    sides = ((size,), (layer.boundary,))
    stds = np.asarray(layer.kernel(layer.kernel._frequencies(*sides)))
    phi = np.asarray(layer.kernel._basis(jnp.linspace(-1, 1, 365)[:, None], *sides)) * stds
    lag = np.sqrt(5) * np.abs(np.subtract.outer(np.arange(365), np.arange(365))) / 7
    error = np.abs(phi @ phi.T - (1 + lag + lag**2 / 3) * np.exp(-lag)).max()
    assert low <= error <= high


def test_many_rows_take_what_their_categories_have():
    """The functions are computed once for each category, where there are more rows."""
    layer = GaussianProcessEffectsLayer(num_basis=6)
    index = np.array([0, 4, 2, 2, 1, 3, 0, 4])
    values = {"g.beta_base": jnp.linspace(-1, 1, 12).reshape(6, 2)}
    run = lambda x: seed(substitute(layer, data=values), 0)("g", x, 5, 2)
    few = run(index[:3])
    np.testing.assert_allclose(run(index)[:3], few, rtol=1e-5, atol=1e-6)
    with numpyro.plate("groups", 3):
        values["g.beta_base"] = jnp.linspace(-1, 1, 36).reshape(3, 6, 2)
        assert run(index).shape == (3, 8, 2)
        np.testing.assert_allclose(run(index)[:, :3], run(index[:3]), rtol=1e-5, atol=1e-6)


class TestWordAfterAFit:
    x = np.linspace(-1, 1, 6, dtype=np.float32)[:, None]

    def look(self, layer, values):
        """As at the end of a fit that has found these values."""

        def model(x, y=None):
            gaussian_link(layer(x), y)

        look, parts = Look(model), take_apart((self.x, self.x[:, 0]), {})
        look.at_layers(parts)
        assert look.is_open
        values = {f"f.{name}": jnp.asarray(value) for name, value in values.items()}
        values = {"obs.sigma": jnp.ones(()), "f.alpha": jnp.ones(layer.num_basis)} | values
        look_at_fit(look, Drawn(model, lambda *data: None), values, parts)

    def test_fine_enough(self):
        layer = HSGPFeatures.init(1, 20, 1.5, kernel=RBFKernel(variance=1.0), name="f")
        self.look(layer, {"kernel.lengthscale": 0.13})

    def test_too_coarse(self):
        layer = HSGPFeatures.init(1, 20, 1.5, kernel=RBFKernel(variance=1.0), name="f")
        with pytest.warns(
            UserWarning, match=r"'f.kernel' .*lengthscale, 0.06, its 20 .* at least 41"
        ):
            self.look(layer, {"kernel.lengthscale": 0.06})

    def test_one_input_of_two(self):
        prior = dist.LogNormal(0.0, 1.0).expand([2]).to_event(1)
        kernel = MaternKernel(variance=1.0, lengthscale=prior)
        layer = HSGPFeatures.init(2, 6, 2.0, kernel=kernel, name="f")
        self.x = np.repeat(self.x, 2, axis=1)
        self.look(layer, {"kernel.lengthscale": [1.0, 1.0]})
        with pytest.warns(
            UserWarning, match=r"lengthscale, 1, 0.1, its 6, 6 .* at least 6, 52"
        ):
            self.look(layer, {"kernel.lengthscale": [1.0, 0.1]})

    def test_draws_of_the_prior_are_not_spoken_of(self):
        layer = HSGPFeatures.init(1, 2, 9.0, kernel=RBFKernel(), name="f")
        seed(layer, 0)(self.x)

    @pytest.mark.slow
    def test_by_fit(self):
        layer = GaussianProcessEffectsLayer(RBFKernel(1.0, 0.01), num_basis=3)

        def model(x, y=None):
            gaussian_link(layer("g", x, 6), y)

        x, y = np.arange(6), np.zeros(6)
        with pytest.warns(UserWarning, match=r"of the layer 'g.kernel' is too coarse"):
            fit(model, y=y, x=x, num_steps=1, progress_bar=False)


def test_medians():
    found = medians({"a": jnp.array([[3.0], [1.0], [2.0]]), "n": jnp.array([4, 5, 6])})
    assert found["a"].tolist() == [2.0] and found["n"] == 4
