"""A mixture of members of unequal weights, against sums by SciPy's distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from numpyro_bayeslayers.distributions import EnsembleMixture

LOC, SCALE, WEIGHTS = np.array([0.0, 3.0, -1.0]), np.array([1.0, 2.0, 0.3]), [0.7, 0.3, 0.0]


@pytest.mark.parametrize("case", ["normal", "uniform"])
def test_weights_are_those_of_the_sums(case):
    """One weight is zero. Of 4,000 draws: 5 standard errors, 1 in 2e6 runs."""
    if case == "normal":
        law, kind = dist.Normal(jnp.asarray(LOC), jnp.asarray(SCALE)), stats.norm
    else:
        law, kind = dist.Uniform(jnp.asarray(LOC), jnp.asarray(LOC + SCALE)), stats.uniform
    members = [kind(*p) for p in zip(LOC, SCALE, strict=True)]
    mixture = EnsembleMixture(law, weights=np.array(WEIGHTS))
    y = np.linspace(-1.0, 4.0, 12)
    by_hand = lambda fn: sum(w * fn(m) for w, m in zip(WEIGHTS, members, strict=True))
    close = lambda got, right: np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)
    close(np.exp(np.asarray(mixture.log_prob(y))), by_hand(lambda m: m.pdf(y)))
    close(mixture.cdf(y), by_hand(lambda m: m.cdf(y)))
    mean = by_hand(lambda m: m.mean())
    var = by_hand(lambda m: m.var() + m.mean() ** 2) - mean**2
    close(
        [mixture.mean, mixture.variance, mixture.cdf(mixture.icdf(0.9))], [mean, var, 0.9]
    )
    draws = mixture.sample(jax.random.key(0), (4000,))
    assert abs(draws.mean() - mean) < 5 * np.sqrt(var / 4000)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.5, 0.5, 0.5], [1.5, -0.5, 0.0]])
def test_wrong_weights(weights):
    law = dist.Normal(jnp.asarray(LOC), 1.0)
    with pytest.raises(ValueError, match="`weights` must be 3 numbers of at least 0"):
        EnsembleMixture(law, weights=weights)
