"""Fits here against other packages, each in a process of its own environment.

A linear regression with a learned scale of its coefficients and a learned noise, on 2,000 rows of
5 columns, by `fit` and by blayers; a step of an ensemble of networks, here and by torch.func; a
deep ensemble with chains, here and by sklearn-contrib-bde. All are called as a user calls them,
compilation included, in turn; what is there is in studies/sides.py. In the regression one default
is not left alone, the step size; both draw 1,000 times for predictions and summaries.
"""

import itertools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.diagnostics import effective_sample_size

from benchmarks.test_ensemble import ADAM, data, log_joint, mlp_init
from numpyro_bayeslayers.infer import MCMC, VI, EnsembleMAP, SampledEnsemble, fit
from numpyro_bayeslayers.layers import (
    AdaptiveLayer,
    DenseReparameterization,
    gaussian_link,
    heteroscedastic_link,
)

sys.path.insert(0, str(Path(__file__).parent / "studies"))

import sides

STEPS = 5000


def model(x, centered=False, y=None):
    return gaussian_link(AdaptiveLayer(centered=centered)("mu", x), y)


def another(number):
    """A model that no side has seen: it has a constant of its own."""
    return lambda x, y=None: model(x + 1e-4 * number, y=y)


def ours(steps, batch_size=None, model=model):
    x, y = sides.line()
    way = VI(optim=0.02)
    found = fit(model, y=y, x=x, method=way, num_steps=steps, batch_size=batch_size)
    return jax.block_until_ready(found.params), found


@pytest.mark.parametrize("batch_size", [None, 256])
def test_first_step_of_a_model(compare, peer, batch_size):
    """`fit` against blayers, up to the first step of a model that was not fitted before.

    A new process waits the first call, recorded as `first_seconds`; in the rounds after it
    other models have been fitted.
    """
    count, other = (itertools.count(batch_size or 0) for _ in range(2))
    compare(
        lambda: ours(1, batch_size, another(next(count)))[0],
        peer("blayers").timed("steps", 1, batch_size, lambda: next(other)),
        rounds=4,
        goal=1.2,
    )


@pytest.mark.parametrize("batch_size", [None, 256])
def test_first_step_again(compare, peer, batch_size):
    """`fit` against blayers, up to the first step of a model that was fitted before."""
    other = peer("blayers").timed("steps", 1, batch_size, None)
    compare(lambda: ours(1, batch_size)[0], other, rounds=3, goal=1.0)


@pytest.mark.parametrize("what", ["predict", "summary"])
def test_first(compare, peer, what):
    """The first prediction of 100 rows, or the first summary, against blayers."""
    rounds, blayers = 2, peer("blayers")
    x, count, other = sides.line()[0], itertools.count(), itertools.count()
    # Not the numbers of the cases above: what they have compiled is kept.
    numbers = range(1000, 1000 + rounds + 1)
    fits = [ours(1, None, another(i))[1] for i in numbers]
    for i in numbers:
        blayers.call("steps", 1, None, i)

    def of_ours():
        found = fits[next(count)]
        return found.summary() if what == "summary" else found.predict(x=x[:100])[:2]

    of_peer = blayers.timed(what, lambda: numbers[next(other)])
    compare(of_ours, of_peer, rounds=rounds, goal=1.0)


@pytest.mark.parametrize("batch_size", [None, 256])
def test_whole_fit(compare, benchmark, peer, batch_size):
    """`fit` against blayers, all 5,000 steps of a model that was not fitted before."""
    found, blayers = {}, peer("blayers")
    count, other = (itertools.count(2000 + (batch_size or 0)) for _ in range(2))

    def whole():
        params, found["ours"] = ours(STEPS, batch_size, another(next(count)))
        return params

    of_peer = blayers.timed("steps", STEPS, batch_size, lambda: next(other))
    compare(whole, of_peer, steps=STEPS, rounds=2, goal=1.0)
    slopes = {
        "ours": np.ravel(found["ours"].predict(x=jnp.eye(sides.COLUMNS)).mean),
        "peer": blayers.call("slopes", next(other) - 1)["value"],
    }
    for name, values in slopes.items():
        worst = np.abs(np.asarray(values) - sides.SLOPES).max()
        benchmark.extra_info[f"{name}_worst_slope"] = float(worst)


@pytest.mark.parametrize("centered", [False, True])
def test_effective_draws_per_second(compare, benchmark, peer, centered):
    """NUTS by `fit` against blayers: seconds of the whole call, one chain.

    Recorded beside: the least effective size of the slopes, divided by those seconds. The peer
    draws centered coefficients, which suit so many rows; ours by default do not.
    """
    x, y = sides.line()
    sizes = {}

    def our_chain():
        way = MCMC(num_warmup=sides.DRAWS, num_samples=sides.DRAWS, num_chains=1)
        draws = fit(model, y=y, x=x, centered=centered, method=way).draws()
        sizes["ours"] = effective_sample_size(np.asarray(draws["mu.beta"])).min()
        return draws

    chain = peer("blayers").timed("chain")
    compare(our_chain, chain, rounds=2, goal=1.0)
    info = benchmark.extra_info
    info["ours_effective_draws_per_second"] = float(
        sizes["ours"] / info["seconds_per_step"]
    )
    info["peer_effective_draws_per_second"] = float(
        chain.value / info["other_seconds_per_step"]
    )


@pytest.mark.parametrize("members", [1, 16, 64])
def test_step_against_torch(compare, peer, as_in_long_runs, members):
    """A step of `EnsembleMAP.run` against torch.func, vmapped, with torch's Adam."""
    torch, (x, y), steps = peer("torch"), data(), {1: 200, 16: 40, 64: 12}[members]
    ensemble = EnsembleMAP(log_joint, mlp_init, ADAM, members)
    run = lambda: ensemble.run(0, steps, x, y, progress_bar=False)[:2]
    other = torch.timed("steps", members, steps)
    compare(run, other, steps=steps, rounds=5, goal=1.0)


def network(number):
    """Means and deviations of rows, by hidden layers of ReLU units; another one each time."""
    widths = (sides.COLUMNS, *sides.HIDDEN, 2)

    def model(x, y=None):
        h = x + 1e-4 * number
        for i, sizes in enumerate(itertools.pairwise(widths)):
            h = jax.nn.relu(h) if i else h
            h = DenseReparameterization(*sizes, prior_scale="fan_in", name=f"h{i}")(h)
        return heteroscedastic_link(h[..., :1], h[..., 1:], y)

    return model


@pytest.mark.filterwarnings("ignore:Of 4 chains")  # the scores beside say what it costs
def test_deep_ensemble(compare, benchmark, peer):
    """A deep ensemble with chains, from the call to the scores, against sklearn-contrib-bde.

    The scores of new rows, recorded beside, are alike: RMSE 0.26 and 0.27.
    """
    bde = peer("bde").timed("fit", 0)
    x, y, new, right = sides.waves()
    found, count = {}, itertools.count()
    method = SampledEnsemble(
        num_members=sides.CHAINS,
        optim=0.01,
        num_warmup=sides.WARMUP,
        num_samples=sides.KEPT,
    )

    def whole():
        of = network(next(count))
        result = fit(of, y=y[:, None], x=x, method=method, num_steps=sides.EPOCHS)
        found["scores"] = sides.scores(*result.predict(x=new)[:2], right)

    compare(whole, bde, rounds=2, goal=1.0)
    for name, values in (("nll", found["scores"]), ("other_nll", bde.value)):
        benchmark.extra_info[name] = values[1]
        benchmark.extra_info[name.replace("nll", "rmse")] = values[0]
