"""Each link once: how it is called, with which parameters, and SciPy's density by row."""

import jax.numpy as jnp
import numpy as np
from scipy import stats
from scipy.special import gamma

from numpyro_bayeslayers import layers

RNG = np.random.default_rng(0)
N = 6
MU = RNG.normal(size=N)
COUNTS = RNG.integers(0, 5, N)
TRIALS = COUNTS + RNG.integers(0, 4, N)
POSITIVE = np.exp(MU + 0.3)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def ordinal_oracle(y):
    cuts = np.array([-0.5, 0.5, 1.25])
    below = np.hstack([np.zeros((N, 1)), sigmoid(cuts - MU[:, None]), np.ones((N, 1))])
    return np.log(np.diff(below)[np.arange(N), y])


def negative_binomial(size):
    return stats.nbinom(size, size / (size + np.exp(MU)))


def hurdle_oracle(y, gate, law):
    above = np.log1p(-gate) + law.logpmf(y) - np.log1p(-law.pmf(0))
    return np.where(y == 0, np.log(gate), above)


def with_ends(y, zero, one):
    inside = stats.beta(5 * sigmoid(MU), 5 * sigmoid(-MU)).logpdf(np.clip(y, 0.1, 0.9))
    inside = np.log(1 - zero - one) + inside
    return np.where(y == 0, np.log(zero), np.where(y == 1, np.log(one), inside))


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
    "gamma": (
        layers.gamma_link,
        {"concentration": 2.5},
        POSITIVE,
        lambda y: stats.gamma(2.5, scale=np.exp(MU) / 2.5).logpdf(y),
    ),
    "inverse gaussian": (
        layers.inverse_gaussian_link,
        {"shape": 1.7},
        POSITIVE,
        lambda y: stats.invgauss(np.exp(MU) / 1.7, scale=1.7).logpdf(y),
    ),
    "exponential": (
        layers.exponential_link,
        {},
        POSITIVE,
        lambda y: stats.expon(scale=np.exp(MU)).logpdf(y),
    ),
    "weibull": (
        layers.weibull_link,
        {"concentration": 1.6},
        POSITIVE,
        lambda y: stats.weibull_min(1.6, scale=np.exp(MU) / gamma(1 + 1 / 1.6)).logpdf(y),
    ),
    "binomial": (
        lambda mu, y, name, **more: layers.binomial_link(
            mu, y, name, trials=jnp.asarray(TRIALS), **more
        ),
        {},
        COUNTS,
        lambda y: stats.binom(TRIALS, sigmoid(MU)).logpmf(y),
    ),
    "beta-binomial": (
        lambda mu, y, name, **more: layers.beta_binomial_link(
            mu, y, name, trials=jnp.asarray(TRIALS), **more
        ),
        {"precision": 3.0},
        COUNTS,
        lambda y: stats.betabinom(TRIALS, 3 * sigmoid(MU), 3 * sigmoid(-MU)).logpmf(y),
    ),
    "zero-inflated negative binomial": (
        layers.zinb_link,
        {"gate": 0.2, "concentration": 2.5},
        COUNTS,
        lambda y: np.log(0.2 * (y == 0) + 0.8 * negative_binomial(2.5).pmf(y)),
    ),
    "hurdle": (
        layers.hurdle_poisson_link,
        {"gate": 0.3},
        COUNTS,
        lambda y: hurdle_oracle(y, 0.3, stats.poisson(np.exp(MU))),
    ),
    "hurdle negative binomial": (
        layers.hurdle_negative_binomial_link,
        {"gate": 0.3, "concentration": 2.5},
        COUNTS,
        lambda y: hurdle_oracle(y, 0.3, negative_binomial(2.5)),
    ),
    "zero-one beta": (
        layers.zero_one_beta_link,
        {"precision": 5.0, "ends": 0.3, "ones": 0.6},
        np.array([0.0, 0.2, 1.0, 0.7, 0.0, 0.9]),
        lambda y: with_ends(y, 0.3 * 0.4, 0.3 * 0.6),
    ),
    "ordered beta": (
        layers.ordered_beta_link,
        {"precision": 5.0, "first_cut": -1.0, "gaps": jnp.array([2.5])},
        np.array([0.0, 0.2, 1.0, 0.7, 0.0, 0.9]),
        lambda y: with_ends(y, sigmoid(-1.0 - MU), sigmoid(MU - 1.5)),
    ),
    "angle": (
        layers.von_mises_link,
        {"concentration": 3.0},
        np.linspace(-3, 3, N),
        lambda y: stats.vonmises(3.0, 2 * np.arctan(MU)).logpdf(y),
    ),
    "censored": (
        layers.censored(layers.weibull_link, upper=np.where(COUNTS % 2, POSITIVE, np.inf)),
        {"concentration": 1.6},
        POSITIVE,
        lambda y: np.where(
            COUNTS % 2,
            stats.weibull_min(1.6, scale=np.exp(MU) / gamma(1 + 1 / 1.6)).logsf(y),
            stats.weibull_min(1.6, scale=np.exp(MU) / gamma(1 + 1 / 1.6)).logpdf(y),
        ),
    ),
    "truncated": (
        layers.truncated(layers.poisson_link, low=1, high=4),
        {},
        np.clip(COUNTS, 1, 4),
        lambda y: (
            stats.poisson(np.exp(MU)).logpmf(y)
            - np.log(stats.poisson(np.exp(MU)).pmf(np.arange(1, 5)[:, None]).sum(0))
        ),
    ),
}
