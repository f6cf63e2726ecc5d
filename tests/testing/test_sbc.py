"""Simulation-based calibration finds wrong posteriors, and lets right ones pass.

A right posterior fails `check` with probability below 1e-3, exactly (`metrics.rank_p_value`),
so that with these keys, which are fixed, a failure is no accident.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random

from numpyro_bayeslayers.testing import Calibration, sbc

N = 4
SPREAD = (1 + N) ** -0.5


def model(y=None):
    mean = numpyro.sample("mean", dist.Normal())
    numpyro.sample("y", dist.Normal(mean, 1.0).expand([N]).to_event(1), obs=y)


def conjugate(spread=SPREAD, shift=0.0, looks=True):
    """The posterior N(sum(y) / (1 + n), 1 / (1 + n)), or what is made of it."""

    @jax.jit
    def draws(key, y):
        center = y.sum() / (1 + N) if looks else 0.0
        return {"mean": center + shift + spread * random.normal(key, (99,))}

    return draws


def test_the_right_posterior_passes():
    found = sbc(model, method=conjugate())
    found.check()
    assert set(found.ranks) == {"mean", "log_likelihood"}
    assert found.ranks["mean"].shape == (200,) and found.num_warned == 0
    assert found.p_value > 0.01


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"spread": 0.6 * SPREAD}, "mean: p = .*, too narrow"),
        ({"spread": 1.7 * SPREAD}, "mean: p = .*, too wide"),
        ({"shift": 0.5 * SPREAD}, "mean: p = .*, too high"),
        ({"shift": -0.5 * SPREAD}, "mean: p = .*, too low"),
        ({"looks": False, "spread": 1.0}, "log_likelihood: p = "),
    ],
)
def test_a_wrong_posterior_is_found(wrong, words):
    """The last one is the prior, whose own ranks are uniform: the likelihood finds it."""
    found = sbc(model, method=conjugate(**wrong))
    with pytest.raises(AssertionError, match=words):
        found.check()
    if "looks" in wrong:
        assert found.p_values["mean"] > 0.01


def test_alarms_are_false_as_often_as_they_say():
    """Of 40 right runs, more than 11 are below 10% once in 2,600 at most (binomial)."""
    found = sbc(model, method=conjugate(), num_replications=800)
    parts = [
        Calibration({n: r[i : i + 20] for n, r in found.ranks.items()}, 99, 0)
        for i in range(0, 800, 20)
    ]
    below = [part.p_value < 0.1 for part in parts]
    assert sum(below) <= 11


def test_ranks_of_counts_break_ties_at_random():
    """Rates of two values: half of the ranks tie, and are uniform all the same."""

    def model(y=None):
        high = numpyro.sample("high", dist.Bernoulli(0.5))
        numpyro.sample("y", dist.Normal(high, 1.0), obs=y)

    def posterior(key, y):
        log_odds = dist.Normal(1.0, 1.0).log_prob(y) - dist.Normal(0.0, 1.0).log_prob(y)
        return {"high": dist.Bernoulli(logits=log_odds).sample(key, (99,))}

    sbc(model, method=posterior).check()


def test_quantities_are_what_is_asked_for():
    square = lambda values: {"square": values["mean"] ** 2}
    found = sbc(model, method=conjugate(), num_replications=30, quantities=square)
    assert set(found.ranks) == {"square", "log_likelihood"}


def test_fit_is_asked_for_each_replication(monkeypatch):
    """With all that `sbc` was given, other data and another seed each; its draws are ranked."""
    asked, draws = [], conjugate()

    class Found(NamedTuple):
        y: np.ndarray

        def draws(self, *, num_samples, seed, all):
            assert num_samples == 50 and all
            return {name: x[None] for name, x in draws(seed, self.y).items()}

    def fit(of, *, y, seed, progress_bar, **given):
        assert of is with_data and not progress_bar
        asked.append((y, seed, given))
        return Found(y)

    def with_data(x, kind, y=None):
        return model(y)

    monkeypatch.setattr("numpyro_bayeslayers.testing._sbc.fit", fit)
    given = {"method": "a method", "num_steps": 5, "constants": {"kind": "a"}}
    sbc(with_data, num_draws=50, num_replications=60, x=np.ones(3), **given).check()
    first, second = asked[0], asked[1]
    assert len(asked) == 60 and (first[0] != second[0]).all() and first[1] != second[1]
    assert first[2].pop("x").tolist() == [1, 1, 1]
    assert first[2] == given


@pytest.mark.slow
def test_fits_compile_once(compiled):
    """Ten more replications compile less than one program each."""
    from numpyro_bayeslayers.infer import VI

    one = {"method": VI(), "num_steps": 5, "num_draws": 3}
    counts = []
    for runs in (2, 12):
        before = len(compiled)
        sbc(model, num_replications=runs, **one)
        counts.append(len(compiled) - before)
    assert counts[1] - counts[0] < 10


def improper(y=None):
    mean = numpyro.sample("mean", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.sample("y", dist.Normal(mean, 1.0).expand([N]).to_event(1), obs=y)


def optimized(y=None):
    mean = numpyro.param("mean", 0.0)
    numpyro.sample("y", dist.Normal(mean, 1.0).expand([N]).to_event(1), obs=y)


def unseen(y=None):
    numpyro.sample("mean", dist.Normal().expand([N]).to_event(1))


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("model", "given", "error", "words"),
    [
        (improper, {}, ValueError, "'mean'"),
        (optimized, {}, ValueError, "'mean' are optimized"),
        (unseen, {}, ValueError, "`model` must observe"),
        (model, {"num_replications": 0}, ValueError, "`num_replications`"),
        (model, {"num_draws": 100}, ValueError, "`num_draws` must be at most .* 99"),
        (model, {"method": 3}, TypeError, "`method`"),
        (model, {"quantities": 3}, TypeError, "`quantities`"),
    ],
)
def test_errors(model, given, error, words):
    given = {"method": conjugate(), "num_replications": 2} | given
    with pytest.raises(error, match=words):
        sbc(model, **given)


def test_draws_of_vector_sites_are_ranked_entry_by_entry():
    def model(y=None):
        w = numpyro.sample("w", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
        numpyro.sample("y", dist.Normal(w, 1.0).to_event(1), obs=y)

    def posterior(key, y):
        return {"w": y / 2 + jnp.sqrt(0.5) * random.normal(key, (50, 2))}

    found = sbc(model, method=posterior, num_draws=50)
    found.check()
    assert found.ranks["w"].shape == (200, 2)
    assert found.p_values["w"].shape == (2,)
    assert np.ptp(found.ranks["w"]) > 40
