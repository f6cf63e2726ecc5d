"""Bayesian conditioners under variational inference with flipout, alone and as an ensemble.

Warnings are errors here, so these tests also say that flipout leaves no weight out.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoDelta, AutoNormal

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.handlers import flipout
from numpyro_bayeslayers.infer import EnsembleSVI

KEY = jax.random.key(0)
H = jax.random.normal(jax.random.key(1), (64, 3))
Z = jax.random.normal(jax.random.key(2), (64, 2))
NOISE, STEPS = 0.1, 400

CONDITIONERS = {
    "concat": layers.BayesianConcatConditioner.init(3, 2, name="c"),
    "film": layers.BayesianAffineModulation.init(3, 2, name="c"),
    "hyper": layers.BayesianHyperLinear.init(3, 3, 2, name="c"),
    "siren": layers.ConditionedINR.init(
        layers.BayesianSIREN.init(3, 8, 3, depth=3, first_omega=1.0, hidden_omega=1.0),
        conditioner_cls=layers.BayesianAffineModulation,
        cond_dim=2,
        key=KEY,
        name="c",
    ),
}
# What each can learn of the context: a shift, a scale for each feature, or a matrix.
TRUTHS = {
    "concat": H + Z @ jnp.array([[1.0, 0.0, -1.0], [0.5, 1.0, 0.0]]),
    "film": H * (1 + jnp.tanh(Z[:, :1])),
    "hyper": H[:, ::-1] * Z[:, :1] + H * Z[:, 1:],
    "siren": jnp.sin(H) * (1 + jnp.tanh(Z[:, :1])),
}
# The others make the same moves.
CASES = [
    "film",
    "hyper",
    pytest.param("concat", marks=pytest.mark.slow),
    pytest.param("siren", marks=pytest.mark.slow),
]


def problem(name):
    conditioner = CONDITIONERS[name]

    def model(h, z, y=None):
        mean = conditioner(h, z)
        with numpyro.plate("rows", len(h)):
            numpyro.sample("y", dist.Normal(mean, NOISE).to_event(1), obs=y)

    return model, (H, Z, TRUTHS[name])


def check(losses):
    """Finite, and far lower at the end: most of what the context explains is learned."""
    losses = np.asarray(losses)
    assert np.isfinite(losses).all()
    start, end = losses[..., :10].mean(-1), losses[..., -50:].mean(-1)
    assert (end < 0.2 * start).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_loss_falls_under_flipout(name):
    model, data = problem(name)
    guide = AutoNormal(model, init_scale=0.01)
    svi = SVI(flipout(model), guide, optax.adam(0.03), Trace_ELBO())
    check(svi.run(KEY, STEPS, *data, progress_bar=False).losses)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_loss_of_each_member_falls_under_flipout(name):
    model, data = problem(name)
    guide = AutoNormal(model, init_scale=0.01)
    ensemble = EnsembleSVI(flipout(model), guide, optax.adam(0.03), num_members=3)
    result = ensemble.run(KEY, STEPS, *data, progress_bar=False)
    assert result.losses.shape == (3, STEPS)
    check(result.losses)
    weights = next(v for k, v in result.params.items() if k.endswith("_W_auto_loc"))
    assert not np.allclose(weights[0], weights[1], atol=1e-3)


@pytest.mark.slow
def test_points_are_left_out_of_flipout_and_it_says_so():
    model, data = problem("hyper")
    svi = SVI(flipout(model), AutoDelta(model), optax.adam(0.03), Trace_ELBO())
    with pytest.warns(UserWarning, match="`flipout` left out c.gen_W"):
        svi.evaluate(svi.init(KEY, *data), *data)
