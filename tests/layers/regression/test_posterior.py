"""Posteriors of linear terms given their scale, against Gaussian processes' formulas.

Given the scale, the joint density of coefficients and data is normal: its gradient and
Hessian at one point are the whole posterior. The other route knows no coefficients: a term
is a Gaussian process with the covariance that its page implies.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import log_density

from numpyro_bayeslayers import layers

RNG = np.random.default_rng(0)
X, Z = RNG.normal(size=(12, 3)), RNG.normal(size=(12, 2))
GROUPS = RNG.integers(0, 4, 12)
Y = RNG.normal(size=12)
SCALE, NOISE = 0.7, 0.3

same = GROUPS[:, None] == GROUPS
earlier = np.minimum(GROUPS[:, None], GROUPS) + 1.0
waves = np.stack(
    [g(2 * np.pi * h * X[:, 0] / 3.0) for g in (np.cos, np.sin) for h in (1, 2)], axis=1
)


def effects(layer):
    return lambda: layer("a", GROUPS, 4)


CASES = {
    "linear terms": (lambda: layers.AdaptiveLayer()("a", X), X @ X.T),
    "half centered": (lambda: layers.AdaptiveLayer(centered=0.5)("a", X), X @ X.T),
    "interactions": (
        lambda: layers.InteractionLayer()("a", X, Z),
        (X @ X.T) * (Z @ Z.T),
    ),
    "bilinear form": (lambda: layers.BilinearLayer()("a", X, Z), (X @ X.T) * (Z @ Z.T)),
    "random effects": (effects(layers.RandomEffectsLayer()), same),
    "centered effects": (effects(layers.RandomEffectsLayer(centered=True)), same),
    "random slopes": (
        lambda: layers.RandomSlopesLayer()("a", X, GROUPS, 4),
        same * (X @ X.T),
    ),
    "centered slopes": (
        lambda: layers.RandomSlopesLayer(centered=True)("a", X, GROUPS, 4),
        same * (X @ X.T),
    ),
    "random walk": (effects(layers.RandomWalkLayer()), earlier),
    "centered walk": (effects(layers.RandomWalkLayer(centered=True)), earlier),
    "seasons": (
        lambda: layers.SeasonalEffectsLayer()("a", X[:, 0], 3.0, 2),
        waves @ waves.T,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_posterior_given_the_scale(name):
    term, kernel = CASES[name]

    def model():
        f = numpyro.deterministic("f", term()[..., 0])
        numpyro.sample("y", dist.Normal(f, NOISE).to_event(1), obs=Y)

    def posterior():
        sites = trace(seed(model, 0)).get_trace()
        scale = jnp.full_like(sites["a.scale"]["value"], SCALE)
        given = substitute(model, {"a.scale": scale})
        (latent,) = [n for n, s in sites.items() if s["type"] == "sample" and n[-1] != "y"][
            1:
        ]
        start = jnp.zeros_like(sites[latent]["value"])

        def log_joint(b):
            values = {latent: b.reshape(start.shape)}
            return log_density(seed(given, 0), (), {}, values)[0]

        def f(b):
            values = {latent: b.reshape(start.shape)}
            return trace(seed(substitute(given, values), 0)).get_trace()["f"]["value"]

        zero = start.ravel()
        precision = -jax.hessian(log_joint)(zero)
        mean = jnp.linalg.solve(precision, jax.grad(log_joint)(zero))
        slopes = jax.jacobian(f)(zero)
        return f(mean), slopes @ jnp.linalg.solve(precision, slopes.T)

    with jax.enable_x64(True):
        mean, cov = jax.tree.map(np.asarray, jax.jit(posterior)())
    kernel = SCALE**2 * kernel
    gain = np.linalg.solve(kernel + NOISE**2 * np.eye(12), kernel).T
    np.testing.assert_allclose(mean, gain @ Y, atol=1e-8)
    np.testing.assert_allclose(cov, kernel - gain @ kernel, atol=1e-8)
