"""Fits, ensembles and predictions under settings of JAX give the usual numbers.

Few steps of a tiny model with a layer. Programs are kept by the settings they were traced
under, and checks of leaks trace everything anew. These search for cycles once per trace, through
all that is alive, so that what was alive before is taken out of the search: two seconds for a
fit, in place of minutes.
"""

import functools
import gc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import NUTS
from numpyro.infer.autoguide import AutoMultivariateNormal, AutoNormal

from numpyro_bayeslayers.handlers import flipout, local_reparameterization
from numpyro_bayeslayers.infer import (
    MCLMC,
    MCMC,
    SGMCMC,
    SWAG,
    VI,
    Ensemble,
    EnsembleMAP,
    EnsembleMCMC,
    EnsembleSVI,
    EnsembleVI,
    Laplace,
    Modes,
    SampledEnsemble,
    Stein,
    ensemble_predict,
    fit,
)
from numpyro_bayeslayers.layers import DenseReparameterization

pytestmark = pytest.mark.usefixtures("as_users_run")

X = np.linspace(-1.0, 1.0, 8, dtype=np.float32).reshape(4, 2)
Y = X.sum(1)


def model(x, y=None):
    mu = DenseReparameterization(2, 1, name="f")(x)[..., 0]
    numpyro.deterministic("mean", mu)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(mu, jnp.float32(0.5)), obs=y)


def of_fit(method: Any, **more: Any) -> Any:
    found = fit(model, y=Y, x=X, method=method, progress_bar=False, **more)
    predicted = found.predict(x=X, num_samples=2)
    return dict(found.draws(num_samples=2)), np.asarray(predicted.mean)


def of_svi(model: Any = model, guide: Any = AutoNormal) -> Any:
    ensemble = EnsembleSVI(model, guide, optax.adam(0.1), num_members=2)
    result = ensemble.run(0, 2, X, Y, progress_bar=False)
    return result.losses, result.params, ensemble.predict(1, result, X, num_samples=2)


def of_vi() -> Any:
    ensemble = EnsembleVI(model, AutoNormal, optax.adam(0.1), 2, kl_weight=0.5)
    result = ensemble.run(0, 2, X, Y, progress_bar=False)
    return result.losses, result.params


def of_map() -> Any:
    def log_joint(w, x, y):
        return -0.5 * jnp.sum((y - x @ w) ** 2), -0.5 * jnp.sum(w**2)

    start = lambda key: jax.random.normal(key, (2,))
    ensemble = EnsembleMAP(log_joint, start, optax.adam(0.1), 2)
    result = ensemble.run(0, 2, X, Y, progress_bar=False)
    predicted = ensemble_predict(result.params, lambda w, x: x @ w, X)
    return result.losses, result.params, predicted


def of_chains(kernel: Any) -> Any:
    chains = EnsembleMCMC(kernel, 2, 2, num_members=2)
    result = chains.run(0, X, Y, progress_bar=False)
    return result.samples


CALLS = {
    "VI": lambda: of_fit(VI(), num_steps=2),
    "MCMC": lambda: of_fit(MCMC(num_warmup=2, num_samples=2, num_chains=1)),
    "Ensemble": lambda: of_fit(Ensemble(num_members=2), num_steps=2),
    "Modes": lambda: of_fit(Modes(num_members=2), num_steps=2),
    "SampledEnsemble": lambda: of_fit(
        SampledEnsemble(
            # Without a warm-up, which raises rounding errors to the third decimal.
            num_members=2,
            num_warmup=0,
            num_samples=2,
            kernel_options={"num_steps": 2},
        ),
        num_steps=2,
    ),
    "SGMCMC": lambda: of_fit(
        SGMCMC(num_members=2, num_samples=2, num_steps=1, cycles=1), num_steps=2
    ),
    "Laplace": lambda: of_fit(Laplace(), num_steps=2),
    "Laplace of products": lambda: of_fit(
        Laplace(structure="kron", predictive="sampled"), num_steps=2
    ),
    "Laplace of low rank": lambda: of_fit(
        Laplace(structure="low_rank", rank=2), num_steps=2
    ),
    "SWAG": lambda: of_fit(SWAG(every=1), num_steps=6),
    "Stein": lambda: of_fit(Stein(num_particles=2), num_steps=2),
    "Stein of mixtures": lambda: of_fit(
        Stein(num_particles=2, guide=AutoNormal, num_elbo_particles=1), num_steps=2
    ),
    "EnsembleSVI": of_svi,
    "one vector": lambda: of_svi(guide=AutoMultivariateNormal),
    "flipout": lambda: of_svi(flipout(model)),
    "local": lambda: of_svi(local_reparameterization(model)),
    "EnsembleVI": of_vi,
    "EnsembleMAP": of_map,
    "EnsembleMCMC": lambda: of_chains(NUTS(model, max_tree_depth=2)),
    "MCLMC": lambda: of_chains(MCLMC(model, num_steps=2)),
}
MODES = {
    "ranks": lambda: jax.numpy_rank_promotion("raise"),
    "types": lambda: jax.numpy_dtype_promotion("strict"),
    "nans": lambda: jax.debug_nans(True),
    "leaks": jax.checking_leaks,
    "eager": jax.disable_jit,
}
QUICK = {
    ("EnsembleSVI", "types"),
    ("EnsembleSVI", "ranks"),
    ("EnsembleMAP", "types"),
    ("EnsembleMAP", "nans"),
    ("Laplace", "leaks"),
}
EVERY = [
    pytest.param(call, mode, marks=() if (call, mode) in QUICK else pytest.mark.slow)
    for call in CALLS
    for mode in MODES
]


@functools.cache
def usual(call: str) -> Any:
    return jax.device_get(CALLS[call]())


@pytest.mark.parametrize(("call", "mode"), EVERY)
def test_numbers_are_those_without_the_setting(call, mode):
    if mode == "leaks":
        gc.collect()
        gc.freeze()
    try:
        with MODES[mode]():
            found = jax.device_get(CALLS[call]())
    finally:
        gc.unfreeze()
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, found, usual(call))
