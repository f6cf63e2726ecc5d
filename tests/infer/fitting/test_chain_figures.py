"""Figures of chains, on draws that are made by hand."""

import ast
import inspect
import types

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.signal
from numpyro.infer import HMC, NUTS, SA

from numpyro_bayeslayers.infer import MCLMC, AdjustedMCLMC
from numpyro_bayeslayers.infer.fitting._chain_figures import (
    ChainFigures,
    effective_sizes,
    energy_share,
    r_hat_limit,
    smaller_steps,
    split_r_hats,
    worst_of,
)

LABEL = "{0[0]}{0[1]}".format

pytestmark = pytest.mark.usefixtures("as_users_run")


def chains(num_chains, num_draws, numbers=10, *, worth=0.25, seed=0):
    """Autoregressions of unit variance, whose draws are worth `worth` independent ones."""
    phi = (1 - worth) / (1 + worth)
    noise = np.random.default_rng(seed).normal(size=(num_chains, num_draws + 60, numbers))
    scale = np.sqrt(1 - phi**2)
    return scipy.signal.lfilter([scale], [1, -phi], noise, axis=1)[:, 60:]


@pytest.mark.parametrize(("num_chains", "num_draws"), [(4, 1000), (2, 50), (2, 300)])
def test_healthy_chains_are_within_the_limit(num_chains, num_draws):
    """Once in a hundred fits they are not: over 8 of 200 have a chance of 0.01%."""
    limit = r_hat_limit(num_chains, num_draws, 10)
    alarms = sum(
        split_r_hats({"x": chains(num_chains, num_draws, seed=i)})["x"].max() > limit
        for i in range(200)
    )
    assert alarms <= 8


def test_limit_of_long_chains_is_that_of_the_literature():
    assert r_hat_limit(4, 10_000, 10) == 1.01
    assert 1.01 < r_hat_limit(4, 1000, 10) < 1.015 < r_hat_limit(2, 300, 10) < 1.1


def sampler(num_chains, num_draws, **noted):
    """What the figures read of NumPyro's `MCMC`."""
    return types.SimpleNamespace(
        num_chains=num_chains,
        num_samples=num_draws,
        sampler=SA(lambda: None),
        get_extra_fields=lambda group_by_chain: noted,
    )


def test_chains_that_differ_are_named_with_their_site():
    """One chain of four sits a deviation and a half away, at one entry of one site."""
    x = chains(4, 500, 6).reshape(4, 500, 2, 3)
    fine = ChainFigures.of({"a": x}, sampler(4, 500))
    assert not list(fine.advice(LABEL)) and fine.divergences is None
    apart = x.copy()
    apart[2, :, 1, 0] += 1.5
    figures = ChainFigures.of({"b": x[..., 0, 0], "a": apart}, sampler(4, 500))
    # The variance between means is 1.5² / 4 · 4 / 3 · (4 / 7 of split chains' freedom).
    assert figures.r_hat_at == ("a", (1, 0)) and 1.15 < figures.r_hat < 1.5
    (said,) = figures.advice(LABEL)
    assert f"R-hat is {figures.r_hat:.2f} at a(1, 0)," in said and "more warm-up" in said
    assert figures.n_eff == pytest.approx(effective_sizes({"a": apart})["a"][1, 0])


def test_divergences_are_counted():
    diverging = np.zeros((2, 200), bool)
    diverging[1, :3] = True
    figures = ChainFigures.of({"a": chains(2, 200)}, sampler(2, 200, diverging=diverging))
    (said,) = figures.advice(LABEL)
    assert said.startswith("3 of 400 draws are divergent")
    assert "Use smaller steps, or reparameterize" in said  # the kernel has no option
    named = figures._replace(smaller=smaller_steps(NUTS(lambda: None)))
    assert 'kernel_options={"target_accept_prob": 0.95}' in next(named.advice(LABEL))


def test_smaller_steps_by_an_option_that_the_kernel_has():
    """Each names an argument of its class; a kernel of other options names none."""
    target = lambda: numpyro.sample("x", dist.Normal().expand([2]))
    for make in (NUTS, HMC, AdjustedMCLMC, MCLMC):
        (option,) = ast.literal_eval(smaller_steps(make(target)))
        assert option in inspect.signature(make).parameters
    assert smaller_steps(SA(target)) == ""


def test_depth_that_is_reached():
    figures = ChainFigures.of({"a": chains(2, 200)}, sampler(2, 200))
    assert not list(figures._replace(max_depth=10, depth_share=0.01).advice(LABEL))
    (said,) = figures._replace(max_depth=10, depth_share=0.4).advice(LABEL)
    assert "40% of the draws reached the maximum tree depth 10" in said and "12" in said


def test_energy_is_that_of_arviz():
    arviz = pytest.importorskip("arviz")
    energy = np.cumsum(chains(3, 200, 1)[..., 0], axis=1)
    assert energy_share(energy) == pytest.approx(
        float(np.min(arviz.bfmi(energy))), rel=1e-2
    )


def test_entries_that_never_change_have_no_figure():
    """A tenth has no exact mean: without a look at the draws its R-hat would be 0.99."""
    still = np.full((2, 350, 3), 0.1)
    assert worst_of(split_r_hats({"a": still}), np.nanargmax) is None
    assert np.isnan(effective_sizes({"a": still})["a"]).all()
    moving = {"a": still, "b": chains(2, 350, 1)}
    assert not list(ChainFigures.of(moving, sampler(2, 350)).advice(LABEL))
    assert split_r_hats({"a": still[:, :3]}) == {}


def test_chains_that_never_move_are_named():
    """Where they stand apart, R-hat is infinite; one number that moves is enough to move."""
    still = np.full((3, 350, 3), 0.1) + np.arange(3)[:, None, None]
    assert (split_r_hats({"a": still})["a"] == np.inf).all()
    stuck, apart = ChainFigures.of({"a": still}, sampler(3, 350)).advice(LABEL)
    assert stuck.startswith("Of 3 chains, these never moved (counted from 0): 0, 1, 2.")
    assert "R-hat is inf at a(0,), where" in apart and "independent" not in apart
    (alike,) = ChainFigures.of({"a": 0 * still + 0.1}, sampler(3, 350)).advice(LABEL)
    assert alike == stuck
    one = np.where(np.arange(3)[:, None, None] == 1, chains(3, 350, 3), still)
    assert ChainFigures.of({"a": one}, sampler(3, 350)).stuck == (0, 2)
    steps = {"a": still, "z": np.ones((3, 350), int)}
    assert ChainFigures.of({"z": steps["z"]}, sampler(3, 350)).stuck == ()
    assert ChainFigures.of(steps, sampler(3, 350)).stuck == (0, 1, 2)
