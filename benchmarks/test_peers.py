"""A regression by `fit` against the same one in blayers, each with its own defaults but one.

The model is a linear one with a learned scale of its coefficients and a learned noise, on
`ROWS` rows of 5 columns. Both sides are called as a user calls them, compilation included:
once for a single step (the wait before anything happens) and once for the whole fit; the
difference is what the steps take. The one default that is not left alone is the step size.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.diagnostics import effective_sample_size

from numpyro_bayeslayers.infer import MCMC, VI, fit
from numpyro_bayeslayers.layers import AdaptiveLayer, gaussian_link

blayers = pytest.importorskip("blayers")

ROWS, COLUMNS, STEPS, DRAWS = 2000, 5, 5000, 500
SLOPES = np.array([2.0, -1.0, 0.5, 0.0, 0.0])


def data():
    x = jax.random.normal(jax.random.key(0), (ROWS, COLUMNS))
    noise = 0.5 * jax.random.normal(jax.random.key(1), (ROWS,))
    return x, x @ jnp.asarray(SLOPES) + noise


def model(x, centered=False, y=None):
    return gaussian_link(AdaptiveLayer(centered=centered)("mu", x), y)


def peer_model(x, y=None):
    from blayers.layers import AdaptiveLayer
    from blayers.links import gaussian_link

    return gaussian_link(AdaptiveLayer()("mu", x), y)


def ours(steps, batch_size):
    x, y = data()
    found = fit(
        model, y=y, x=x, method=VI(optim=0.02), num_steps=steps, batch_size=batch_size
    )
    return jax.block_until_ready(found.params), found


def peer(steps, batch_size):
    from blayers.fit import fit

    x, y = data()
    # Its link takes columns alone.
    found = fit(
        peer_model, y=y[:, None], x=x, lr=0.02, num_steps=steps, batch_size=batch_size
    )
    return jax.block_until_ready(found.params), found


def slopes(found):
    return np.asarray(found.predict(x=jnp.eye(COLUMNS)).mean).ravel()


@pytest.mark.parametrize("batch_size", [None, 256])
def test_first_step(compare, batch_size):
    """From the call to the end of the first step.

    A new process waits the first call, recorded as `first_seconds`. In the rounds after it
    the peer finds the many small programs compiled that its eager start is made of; ours is
    one program, which each fit compiles.
    """
    compare(
        lambda: ours(1, batch_size)[0], lambda: peer(1, batch_size)[0], rounds=2, goal=1.0
    )


@pytest.mark.parametrize("batch_size", [None, 256])
def test_whole_fit(compare, benchmark, batch_size):
    """All steps; recorded beside: what one step takes without what one fit takes."""
    found, first = {}, {}

    def whole(name, run):
        times = []
        for _ in range(3):  # the first of them fills caches
            start = time.perf_counter()
            run(1, batch_size)
            times.append(time.perf_counter() - start)
        first[name] = min(times)

        def call():
            params, found[name] = run(STEPS, batch_size)
            return params

        return call

    compare(whole("ours", ours), whole("peer", peer), steps=STEPS, rounds=2, goal=1.0)
    info = benchmark.extra_info
    for name, key in (("ours", "seconds_per_step"), ("peer", "other_seconds_per_step")):
        info[f"{name}_marginal_seconds_per_step"] = info[key] - first[name] / STEPS
        info[f"{name}_worst_slope"] = float(np.abs(slopes(found[name]) - SLOPES).max())


@pytest.mark.parametrize("centered", [False, True])
def test_effective_draws_per_second(compare, benchmark, centered):
    """NUTS, one chain: the least effective size of the slopes, divided by whole fits.

    The peer draws centered coefficients, which suit so many rows; ours by default do not.
    The peer's `autoreparam` is off; in its version 0.3.0 it leaves every site centered.
    """
    x, y = data()
    sizes = {}

    def our_chain():
        way = MCMC(num_warmup=DRAWS, num_samples=DRAWS, num_chains=1)
        draws = fit(model, y=y, x=x, centered=centered, method=way).draws()
        sizes["ours"] = effective_sample_size(np.asarray(draws["mu.beta"])).min()
        return draws

    def peer_chain():
        from blayers.fit import fit

        found = fit(
            peer_model,
            y=y[:, None],
            x=x,
            method="mcmc",
            num_warmup=DRAWS,
            num_mcmc_samples=DRAWS,
            autoreparam_model=False,
        )
        draws = found.posterior_samples
        beta = np.asarray(draws["AdaptiveLayer_mu_beta"])[None]
        sizes["peer"] = effective_sample_size(beta).min()
        return draws

    compare(our_chain, peer_chain, rounds=2, goal=1.0)
    info = benchmark.extra_info
    info["ours_effective_draws_per_second"] = float(
        sizes["ours"] / info["seconds_per_step"]
    )
    info["peer_effective_draws_per_second"] = float(
        sizes["peer"] / info["other_seconds_per_step"]
    )
