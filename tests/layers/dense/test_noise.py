"""Modules that add noise: dropout, perturbed inputs, and the contrastive objective."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import kl_divergence
from numpyro.handlers import seed, trace
from numpyro.infer.util import log_density

from numpyro_bayeslayers.handlers import tie
from numpyro_bayeslayers.layers import (
    DenseReparameterization,
    MCDropout,
    NCPContinuousPerturb,
    NCPNormalOutput,
)

pytestmark = pytest.mark.usefixtures("as_users_run")

X = jnp.arange(1.0, 13.0).reshape(4, 3)
KEY = jax.random.key(0)


def test_dropout_keeps_or_scales():
    out = MCDropout(0.25)(jnp.ones((200, 3)), key=KEY)
    assert set(np.unique(out).round(4)) == {0.0, np.float32(1.3333)}


def test_dropout_keeps_with_its_rate():
    """30,000 entries: within 5 standard errors, 0.0125 (false-alarm rate 6e-7)."""
    kept = MCDropout(0.25)(jnp.ones((10_000, 3)), key=KEY) != 0
    assert abs(kept.mean() - 0.75) < 0.0125


@pytest.mark.parametrize("module", [MCDropout(0.5), NCPContinuousPerturb(0.1)])
def test_keys(module):
    """An explicit key decides; inside a model the key comes from the enclosing seed."""
    np.testing.assert_array_equal(module(X, key=KEY), module(X, key=KEY))
    raw = module(X, key=jax.random.PRNGKey(0))
    assert raw.shape == X.shape
    one, two = (seed(lambda: (module(X), module(X)), k)() for k in (0, 1))
    assert not np.allclose(one[0], one[1])
    assert not np.allclose(one[0], two[0])
    with pytest.raises(ValueError, match=f"{type(module).__name__} needs a random key"):
        module(X)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_dropout_refuses(rate):
    with pytest.raises(ValueError, match="`rate` must be at least 0 and below 1, got"):
        MCDropout(rate)


def test_perturbation_is_normal_of_its_scale():
    """Moments of 30,000 entries within 5 standard errors (false-alarm rate 1e-6)."""
    x = jnp.ones((10_000, 3))
    noise = NCPContinuousPerturb(jnp.array(0.5))(x, key=KEY) - x
    assert abs(noise.mean()) < 5 * 0.5 / np.sqrt(30_000)
    assert abs(noise.std() - 0.5) < 5 * 0.5 / np.sqrt(60_000)
    np.testing.assert_array_equal(NCPContinuousPerturb(0.0)(X, key=KEY), X)
    half = NCPContinuousPerturb(0.5)(X.astype(jnp.float16), key=KEY)
    assert half.dtype == jnp.float16


def test_perturbation_refuses():
    with pytest.raises(ValueError, match="`scale` must be zero or positive, got -1"):
        NCPContinuousPerturb(-1.0)
    with pytest.raises(TypeError, match="`scale` must be a number, got 'wide'"):
        NCPContinuousPerturb("wide")


def test_output_is_the_divergence():
    """Row by row, against NumPyro's own divergence of two normals."""
    mean, std = X / 4, X / 8
    layer = NCPNormalOutput(0.5, 2.0, name="ncp")
    sites = trace(layer).get_trace(mean, std)
    rows = kl_divergence(dist.Normal(mean, std), dist.Normal(0.5, 2.0)).sum(-1)
    np.testing.assert_allclose(sites["ncp.kl"]["fn"].log_factor, -rows, rtol=1e-5)
    np.testing.assert_allclose(layer(mean, std), rows.sum(), rtol=1e-5)


def test_output_is_scaled_by_a_subsampling_plate():
    def model():
        with numpyro.plate("data", 12, subsample_size=4):
            NCPNormalOutput(name="ncp")(X, X)

    assert trace(seed(model, 0)).get_trace()["ncp.kl"]["scale"] == 3.0


def test_one_output_without_an_axis_counts_each_row_once():
    """(n,) is (n, 1), inside of a plate of the rows and outside: the sum of n divergences."""
    mean, std = jnp.linspace(-1.0, 1.0, 8), jnp.linspace(0.5, 2.0, 8)
    total = kl_divergence(dist.Normal(mean, std), dist.Normal(0.0, 1.0)).sum()

    def in_plate(*arrays):
        with numpyro.plate("data", 8):
            NCPNormalOutput(name="ncp")(*arrays)

    for model in (in_plate, NCPNormalOutput(name="ncp")):
        for arrays in ((mean, std), (mean[:, None], std[:, None])):
            np.testing.assert_allclose(
                log_density(model, arrays, {}, {})[0], -total, rtol=1e-5
            )


def test_output_refuses():
    with pytest.raises(ValueError, match="`prior_std` must be positive and finite, got 0"):
        NCPNormalOutput(0.0, 0.0)
    with pytest.raises(
        ValueError, match=r"`noisy_std` must have the shape of `noisy_mean`"
    ):
        NCPNormalOutput()(jnp.ones((4, 1)), jnp.ones((4, 2)))


def test_a_noise_contrastive_network():
    """One tied network on clean and on perturbed inputs, with its contrastive term."""

    def model(x, y=None):
        noisy = NCPContinuousPerturb(0.5)(x)
        with tie(DenseReparameterization(3, 2, name="net")) as net:
            clean, moved = net(x), net(noisy)
        NCPNormalOutput(name="ncp")(moved[..., :1], jnp.exp(moved[..., 1:]))
        with numpyro.plate("data", len(x)):
            fn = dist.Normal(clean[..., 0], jnp.exp(clean[..., 1]))
            numpyro.sample("y", fn, obs=y)

    sites = trace(seed(model, 0)).get_trace(X, X[:, 0])
    names = [name for name, s in sites.items() if s["type"] == "sample"]
    assert names == ["net.weight", "net.bias", "ncp.kl", "y"]
