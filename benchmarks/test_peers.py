"""A regression by `fit` against the same one in blayers, each with its own defaults but one.

The model is a linear one with a learned scale of its coefficients and a learned noise, on
`ROWS` rows of 5 columns. Both sides are called as a user calls them, compilation included. The
one default that is not left alone is the step size; both draw 1,000 times for predictions and
summaries.
"""

import itertools
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


def another(number):
    """A model that no side has seen: it has a constant of its own."""
    return lambda x, y=None: model(x + 1e-4 * number, y=y)


def another_peer(number):
    return lambda x, y=None: peer_model(x + 1e-4 * number, y)


def ours(steps, batch_size=None, model=model):
    x, y = data()
    way = VI(optim=0.02)
    found = fit(model, y=y, x=x, method=way, num_steps=steps, batch_size=batch_size)
    return jax.block_until_ready(found.params), found


def peer(steps, batch_size=None, model=peer_model):
    from blayers.fit import fit

    x, y = data()
    # Its link takes columns alone.
    how = {"lr": 0.02, "num_steps": steps, "batch_size": batch_size}
    found = fit(model, y=y[:, None], x=x, **how)
    return jax.block_until_ready(found.params), found


def slopes(found):
    return np.asarray(found.predict(x=jnp.eye(COLUMNS)).mean).ravel()


@pytest.mark.parametrize("batch_size", [None, 256])
def test_first_step_of_a_model(compare, batch_size):
    """`fit` against blayers, up to the first step of a model that was not fitted before.

    A new process waits the first call, recorded as `first_seconds`; in the rounds after it
    other models have been fitted.
    """
    count = itertools.count()
    compare(
        lambda: ours(1, batch_size, another(next(count)))[0],
        lambda: peer(1, batch_size, another_peer(next(count)))[0],
        rounds=2,
        goal=1.2,
    )


@pytest.mark.parametrize("batch_size", [None, 256])
def test_first_step_again(compare, batch_size):
    """`fit` against blayers, up to the first step of a model that was fitted before."""
    compare(
        lambda: ours(1, batch_size)[0], lambda: peer(1, batch_size)[0], rounds=2, goal=1.0
    )


@pytest.mark.parametrize("what", ["predict", "summary"])
def test_first(compare, what):
    """The first prediction of 100 rows, or the first summary, against blayers."""
    x, count = data()[0], itertools.count()
    fits = [
        (ours(1, None, another(i))[1], peer(1, None, another_peer(i))[1]) for i in range(3)
    ]

    def of_ours():
        found = fits[next(count) // 2][0]
        if what == "summary":
            return found.summary()
        return found.predict(x=x[:100])[:2]

    def of_peer():
        found = fits[next(count) // 2][1]
        if what == "summary":
            return found.summary(x=x)
        return found.predict(x=x[:100], num_samples=1000).mean

    compare(of_ours, of_peer, rounds=2, goal=1.0)


@pytest.mark.parametrize("batch_size", [None, 256])
def test_whole_fit(compare, benchmark, batch_size):
    """`fit` against blayers, all 5,000 steps of a model that was not fitted before.

    Recorded beside: what one step takes without what one fit takes.
    """
    found, first, count = {}, {}, itertools.count()

    def whole(name, run, made):
        times = []
        for _ in range(3):  # the first of them fills caches
            start = time.perf_counter()
            run(1, batch_size, made(next(count)))
            times.append(time.perf_counter() - start)
        first[name] = min(times)

        def call():
            params, found[name] = run(STEPS, batch_size, made(next(count)))
            return params

        return call

    sides = whole("ours", ours, another), whole("peer", peer, another_peer)
    compare(*sides, steps=STEPS, rounds=2, goal=1.0)
    info = benchmark.extra_info
    for name, key in (("ours", "seconds_per_step"), ("peer", "other_seconds_per_step")):
        info[f"{name}_marginal_seconds_per_step"] = info[key] - first[name] / STEPS
        info[f"{name}_worst_slope"] = float(np.abs(slopes(found[name]) - SLOPES).max())


@pytest.mark.parametrize("centered", [False, True])
def test_effective_draws_per_second(compare, benchmark, centered):
    """NUTS by `fit` against blayers: seconds of the whole call, one chain.

    Recorded beside: the least effective size of the slopes, divided by those seconds.

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
