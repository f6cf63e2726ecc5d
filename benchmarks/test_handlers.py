"""What a gradient estimator costs for one step, and what it gains: variance times seconds.

The step is the gradient of the evidence lower bound of a dense layer of 20 inputs and 10
tanh units under a normal guide. ``variance_ratio`` is the total variance of the plain
gradient by the guide's means over the gradient estimator's; ``efficiency`` is that ratio over
the ratio of seconds: how many times sooner the same accuracy is reached by averaging.
"""

import jax
import pytest
from numpyro.infer import SVI, TraceMeanField_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.optim import Adam

from numpyro_bayeslayers.handlers import flipout, local_reparameterization
from tests.handlers import study

ESTIMATORS = {"flipout": flipout, "local_reparameterization": local_reparameterization}
REPEATS = 20


def repeated_gradient(estimate, rows):
    """A compiled function of no arguments: the mean of some gradients, for long enough calls."""
    x, y = study.data(rows)
    guide = AutoNormal(study.tanh_model, init_scale=study.SCALE)
    svi = SVI(study.tanh_model, guide, Adam(1e-3), TraceMeanField_ELBO())
    params = svi.get_params(jax.jit(svi.init)(jax.random.key(1), x, y)) | study.LOCS
    handled = estimate(study.tanh_model)

    def gradient(params, key):
        return jax.grad(lambda p: svi.loss.loss(key, p, handled, guide, x, y))(params)

    @jax.jit
    def repeat(params, keys):
        grads = jax.lax.map(lambda key: gradient(params, key), keys)
        return jax.tree.map(lambda g: g.mean(0), grads)

    keys = jax.random.split(jax.random.key(0), REPEATS)
    return lambda: repeat(params, keys)


@pytest.mark.parametrize("rows", [16, 128, 512])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_step(compare, benchmark, name, rows):
    """A gradient under an estimator against the plain one."""
    plain = lambda model: model
    a = study.gradient_draws(plain, rows, 1000, seed=1)
    b = study.gradient_draws(ESTIMATORS[name], rows, 1000, seed=2)
    gain, scale_gain = (study.variance_ratio(p, e) for p, e in zip(a, b, strict=True))
    ours, other = repeated_gradient(ESTIMATORS[name], rows), repeated_gradient(plain, rows)
    ratio = compare(ours, other, steps=REPEATS, rounds=7)
    benchmark.extra_info.update(
        variance_ratio=gain, scale_variance_ratio=scale_gain, efficiency=gain / ratio
    )
