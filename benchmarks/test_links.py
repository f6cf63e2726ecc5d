"""The log density of each likelihood and its gradient by the predictor, for 100,002 rows.

Beside it the same observations under NumPyro's own distribution, where it has one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, substitute, trace
from scipy import stats
from scipy.special import logsumexp

from numpyro_bayeslayers import layers
from tests.layers.heads.cases import CASES, COUNTS, MU, TRIALS, N

REPEATS = 16_667
FACTOR = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.6, 0.8]], np.float32)
CUTS = jnp.array([-0.5, 0.5, 1.25])
WEIBULL = 0.8965742  # the gamma function at 1 + 1 / 1.6
# NumPyro's distribution of a case, by the predictor.
PEERS = {
    "gaussian": lambda mu: dist.Normal(mu, 0.7),
    "gaussian, known scale": lambda mu: dist.Normal(mu, 0.4),
    "heteroscedastic": lambda mu: dist.Normal(mu, jax.nn.softplus(2 * mu)),
    "lognormal": lambda mu: dist.LogNormal(mu, 0.7),
    "student": lambda mu: dist.StudentT(4.0, mu, 0.7),
    "logit": lambda mu: dist.Bernoulli(logits=mu),
    "poisson": lambda mu: dist.Poisson(jnp.exp(mu)),
    "negative binomial": lambda mu: dist.NegativeBinomial2(jnp.exp(mu), 2.5),
    "zero-inflated": lambda mu: dist.ZeroInflatedPoisson(0.2, jnp.exp(mu)),
    "beta": lambda mu: dist.BetaProportion(jax.nn.sigmoid(mu), 5.0),
    "ordinal": lambda mu: dist.OrderedLogistic(mu, CUTS),
    "gamma": lambda mu: dist.Gamma(2.5, 2.5 * jnp.exp(-mu)),
    "exponential": lambda mu: dist.Exponential(jnp.exp(-mu)),
    "weibull": lambda mu: dist.Weibull(jnp.exp(mu) / WEIBULL, 1.6),
    "binomial": lambda mu: dist.Binomial(jnp.asarray(TRIALS), logits=mu),
    "beta-binomial": lambda mu: dist.BetaBinomial(
        3.0 * jax.nn.sigmoid(mu), 3.0 * jax.nn.sigmoid(-mu), jnp.asarray(TRIALS)
    ),
    "zero-inflated negative binomial": lambda mu: dist.ZeroInflatedNegativeBinomial2(
        jnp.exp(mu), 2.5, gate=0.2
    ),
    "angle": lambda mu: dist.VonMises(2 * jnp.arctan(mu), 3.0),
    "categorical": lambda mu: dist.Categorical(logits=mu),
    "multivariate normal": lambda mu: dist.MultivariateNormal(mu, scale_tril=0.7 * FACTOR),
}


def many(log_prob, mu, y):
    """A function that gives the sum over all rows and its gradient, compiled."""
    repeated = lambda x: jnp.repeat(jnp.asarray(x)[None], REPEATS, 0)
    mu, y = repeated(jnp.asarray(mu, jnp.float32)), repeated(y)
    total = lambda mu, y: jax.vmap(log_prob)(mu, y).sum()
    both = jax.jit(jax.value_and_grad(total))
    return lambda: both(mu, y)


# Predictors of several columns, what the tests of all links do not have.
WIDE = np.stack([MU, MU[::-1], -MU], 1)
JOINT = stats.multivariate_normal(cov=0.49 * FACTOR @ FACTOR.T)
WIDER = {
    "categorical": (
        layers.categorical_link,
        {},
        COUNTS % 3,
        lambda y: (WIDE - logsumexp(WIDE, 1, keepdims=True))[np.arange(N), y],
    ),
    "multivariate normal": (
        layers.multivariate_normal_link,
        {"sigma": np.full(3, 0.7), "cholesky": FACTOR},
        WIDE + 0.3,
        lambda y: JOINT.logpdf(y - WIDE),
    ),
}
ALL = CASES | WIDER


@pytest.mark.parametrize("name", ALL)
def test_log_density(compare, benchmark, name):
    """The log density of a link and its gradient, against NumPyro's distribution."""
    link, hyper, y, oracle = ALL[name]
    mu = WIDE if name in WIDER else MU
    data = {f"y.{k}": jnp.asarray(v) for k, v in hyper.items()}

    def log_prob(mu, y):
        model = substitute(seed(lambda: link(mu, y, "y"), 0), data=data)
        site = trace(model).get_trace()["y"]
        return site["fn"].log_prob(site["value"])

    ours = many(log_prob, mu, y)
    expected = REPEATS * np.sum(oracle(y))
    np.testing.assert_allclose(ours()[0], expected, rtol=2e-3)
    if name not in PEERS:
        benchmark.extra_info["rows"] = N * REPEATS
        benchmark.pedantic(lambda: jax.block_until_ready(ours()), rounds=7)
        return
    other = many(lambda mu, y: PEERS[name](mu).log_prob(y), mu, y)
    np.testing.assert_allclose(other()[0], expected, rtol=2e-3)
    compare(ours, other, rounds=7, goal=1.1, rows=N * REPEATS)
