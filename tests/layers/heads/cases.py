"""Each link once: how it is called, with which parameters, and SciPy's density by row."""

import jax.numpy as jnp
import numpy as np
from scipy import stats

from numpyro_bayeslayers import layers

RNG = np.random.default_rng(0)
N = 6
MU = RNG.normal(size=N)
COUNTS = RNG.integers(0, 5, N)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def ordinal_oracle(y):
    cuts = np.array([-0.5, 0.5, 1.25])
    below = np.hstack([np.zeros((N, 1)), sigmoid(cuts - MU[:, None]), np.ones((N, 1))])
    return np.log(np.diff(below)[np.arange(N), y])


# name: call, hyperparameters by local name, observations, the oracle's log density by row
CASES = {
    "gaussian": (
        layers.gaussian_link,
        {"sigma": 0.7},
        MU + 0.3,
        lambda y: stats.norm(MU, 0.7).logpdf(y),
    ),
    "gaussian, known scale": (
        lambda mu, y, name, **more: layers.gaussian_link(mu, y, name, scale=0.4, **more),
        {},
        MU + 0.3,
        lambda y: stats.norm(MU, 0.4).logpdf(y),
    ),
    "heteroscedastic": (
        lambda mu, y, name, **more: layers.heteroscedastic_link(
            mu, 2 * mu, y, name, **more
        ),
        {},
        MU + 0.3,
        lambda y: stats.norm(MU, softplus(2 * MU)).logpdf(y),
    ),
    "lognormal": (
        layers.lognormal_link,
        {"sigma": 0.7},
        np.exp(MU + 0.3),
        lambda y: stats.lognorm(0.7, scale=np.exp(MU)).logpdf(y),
    ),
    "student": (
        layers.student_t_link,
        {"sigma": 0.7},
        MU + 0.3,
        lambda y: stats.t(4.0, MU, 0.7).logpdf(y),
    ),
    "logit": (
        layers.logit_link,
        {},
        COUNTS % 2,
        lambda y: stats.bernoulli(sigmoid(MU)).logpmf(y),
    ),
    "poisson": (
        layers.poisson_link,
        {},
        COUNTS,
        lambda y: stats.poisson(np.exp(MU)).logpmf(y),
    ),
    "negative binomial": (
        layers.negative_binomial_link,
        {"concentration": 2.5},
        COUNTS,
        lambda y: stats.nbinom(2.5, 2.5 / (2.5 + np.exp(MU))).logpmf(y),
    ),
    "zero-inflated": (
        layers.zip_link,
        {"gate": 0.2},
        COUNTS,
        lambda y: np.log(0.2 * (y == 0) + 0.8 * stats.poisson(np.exp(MU)).pmf(y)),
    ),
    "beta": (
        layers.beta_link,
        {"precision": 5.0},
        np.linspace(0.1, 0.9, N),
        lambda y: stats.beta(sigmoid(MU) * 5, (1 - sigmoid(MU)) * 5).logpdf(y),
    ),
    "ordinal": (
        lambda mu, y, name, **more: layers.ordinal_link(mu, y, 4, name, **more),
        {"first_cut": -0.5, "gaps": jnp.array([1.0, 0.75])},
        COUNTS % 4,
        ordinal_oracle,
    ),
}
