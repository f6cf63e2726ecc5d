"""Microcanonical samplers as NumPyro's kernels: moments, tuning, chains, going on, fits."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import infer as stock

from numpyro_bayeslayers.infer import MCLMC, MCMC, AdjustedMCLMC, EnsembleMCMC, fit

pytestmark = pytest.mark.usefixtures("as_users_run")

# A normal target: means, and standard deviations over a factor of 100.
MEAN, SCALE = np.linspace(-2.0, 2.0, 10), np.logspace(-1, 1, 10)


def target():
    numpyro.sample("x", dist.Normal(MEAN, SCALE).to_event(1))
    numpyro.deterministic("twice", jnp.zeros(()))


def run(kernel, chains=8, warmup=500, draws=1000):
    ensemble = EnsembleMCMC(kernel, warmup, draws, chains)
    fields = ("num_steps", "accept_prob", "adapt_state.step_size", "energy_change")
    return ensemble, ensemble.run(0, progress_bar=False, extra_fields=fields)


@pytest.fixture(scope="module")
def adjusted():
    return run(AdjustedMCLMC(target))


@pytest.fixture(scope="module")
def unadjusted():
    return run(MCLMC(target))


def moments(result):
    """Each chain's standardized mean and variance; and their standard errors over chains."""
    x = (np.asarray(result.samples["x"], float) - MEAN) / SCALE
    each = np.stack([x.mean(1), x.var(1) + x.mean(1) ** 2])
    return each.mean(1), each.std(1, ddof=1) / np.sqrt(x.shape[0])


def test_adjusted_moments_are_exact(adjusted):
    """z-scores of 10 means and 10 variances over 8 chains: |t_7| > 7.5 in 1 of 7,000 targets."""
    (mean, square), error = moments(adjusted[1])
    assert (np.abs(mean) < 7.5 * error[0]).all()
    assert (np.abs(square - 1) < 7.5 * error[1]).all()
    assert error.max() < 0.08
    fields = adjusted[1].mcmc.get_extra_fields()
    assert 0.75 < fields["accept_prob"].mean() < 0.99
    assert not fields["diverging"].any()


def test_unadjusted_moments_are_near(unadjusted):
    """The bias of variances is of the order of the step size: below 10 %."""
    (mean, square), error = moments(unadjusted[1])
    assert (np.abs(mean) < 7.5 * error[0]).all()
    assert (np.abs(square - 1) < 0.1 + 7.5 * error[1]).all()
    assert error.max() < 0.08
    changes = unadjusted[1].mcmc.get_extra_fields()["energy_change"]
    assert 0.2 < (changes**2).mean() / (5e-4 * 10) < 5  # of the variance that was wanted


def test_a_second_run_compiles_nothing(adjusted, compiled):
    """Starts and steps are kept by the ensemble; the samples are the same."""
    ensemble, first = adjusted
    ensemble.run(1, progress_bar=False, extra_fields=("num_steps",))
    before = len(compiled)
    again = ensemble.run(1, progress_bar=False, extra_fields=("num_steps",))
    assert len(compiled) == before
    assert again.samples["x"].shape == first.samples["x"].shape


@pytest.mark.parametrize("make", [MCLMC, AdjustedMCLMC])
def test_conventions_of_kernels(make):
    """One chain or several under NumPyro's MCMC; a run goes on from where another ended."""
    how = {"num_warmup": 20, "num_samples": 10, "progress_bar": False}
    mcmc = stock.MCMC(make(target), **how)
    mcmc.run(jax.random.key(0), extra_fields=("potential_energy", "energy_change"))
    draws = mcmc.get_samples()
    assert draws["x"].shape == (10, 10) and draws["twice"].shape == (10,)
    energy = mcmc.get_extra_fields()["potential_energy"]
    right = -dist.Normal(MEAN, SCALE).log_prob(draws["x"]).sum(-1)
    np.testing.assert_allclose(energy, right, rtol=1e-4)
    mcmc.post_warmup_state = mcmc.last_state
    tuned = mcmc.last_state.adapt_state.step_size
    mcmc.run(jax.random.key(1))
    assert mcmc.last_state.adapt_state.step_size == tuned
    assert not np.array_equal(mcmc.get_samples()["x"], draws["x"])
    several = stock.MCMC(make(target), num_chains=2, chain_method="vectorized", **how)
    several.run(jax.random.key(0))
    assert several.get_samples(group_by_chain=True)["x"].shape == (2, 10, 10)


def test_a_fit_by_it():
    """As the kernel of `fit`; supports are those of the sites."""

    def model(x, y=None):
        slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
        noise = numpyro.sample("noise", dist.HalfNormal(1.0))
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Normal(slope * x, noise), obs=y)

    x = np.linspace(-1, 1, 20)
    how = {"num_warmup": 60, "num_samples": 30, "num_chains": 2, "kernel": AdjustedMCLMC}
    found = fit(model, y=2 * x, x=x, method=MCMC(**how), progress_bar=False)
    assert (found.draws()["noise"] > 0).all()
    assert found.predict(x=x[:3]).samples.shape == (60, 3)


def test_what_cannot_be():
    def lone():
        numpyro.sample("x", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match="at least 2 latent dimensions, got 1"):
        stock.MCMC(MCLMC(lone), num_warmup=1, num_samples=1).run(jax.random.key(0))
    with pytest.raises(ValueError, match="`num_steps`"):
        MCLMC(target, num_steps=0)
    with pytest.raises(ValueError, match="`target_accept_prob`"):
        AdjustedMCLMC(target, target_accept_prob=1.0)
    with pytest.raises(TypeError, match="`model`"):
        MCLMC("model")


# One target whose walls are so steep that the energy of a long step overflows, and one with a
# narrow peak in a wide plain of the same mass; of each, its scale and E x² / scale².
SHARP, WIDE, NUMBERS = 0.01, 10.0, 20


def walls(x):
    return -((x / SHARP) ** 8).sum()


def peak(x):
    logs = [-0.5 * ((x / s) ** 2).sum() - NUMBERS * jnp.log(s) for s in (SHARP, WIDE)]
    return jnp.logaddexp(*logs)


@pytest.mark.parametrize(
    ("density", "square"),
    [(walls, math.gamma(3 / 8) / math.gamma(1 / 8)), (peak, 1.0)],
)
def test_chains_sample_the_narrow_region_they_start_in(density, square):
    """No first step throws a chain out of it, and no jump of the energy makes steps of size 0.

    Squares over 8 chains, |t_7| > 7.5 in 1 of 7,000 targets, and a bias of up to 10 %.
    """

    def model():
        flat = dist.ImproperUniform(dist.constraints.real_vector, (), (NUMBERS,))
        numpyro.factor("density", density(numpyro.sample("x", flat)))

    chains = EnsembleMCMC(MCLMC(model), 60, 100, 8)
    fields = "adapt_state.step_size", "diverging"
    start = {"x": 0.1 * SHARP * np.ones((8, NUMBERS))}
    found = chains.run(0, init=start, progress_bar=False, extra_fields=fields)
    steps = np.asarray(found.mcmc.last_state.adapt_state.step_size)
    assert (steps > 0).all() and steps.max() < 4 * steps.min()
    each = (np.asarray(found.samples["x"], float) ** 2).mean((1, 2)) / SHARP**2 / square
    assert abs(each.mean() - 1) < 0.1 + 7.5 * each.std(ddof=1) / np.sqrt(8)
    assert each.std(ddof=1) < 0.2
    assert found.mcmc.get_extra_fields()["diverging"].mean() < 0.05


def gaussian(condition, size=100):
    """A normal target of a condition number, in directions that no coordinate has."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
    scale = np.logspace(0.0, np.log10(condition) / 2, size)

    def model():
        flat = dist.ImproperUniform(dist.constraints.real_vector, (), (size,))
        x = numpyro.sample("x", flat)
        numpyro.factor("density", -0.5 * (((x @ turn) / scale) ** 2).sum())

    return model, turn / scale


def of_gaussian(make, condition, warmup=1000, draws=1000):
    """Means and squares in the target's directions, (chains, 2, size), and steps a draw."""
    model, whiten = gaussian(condition)
    found = run(make(model), warmup=warmup, draws=draws)[1]
    z = np.asarray(found.samples["x"], float) @ whiten
    steps = float(found.mcmc.get_extra_fields()["num_steps"].mean())
    return np.stack([z.mean(1), (z**2).mean(1)], 1), steps


@pytest.mark.slow
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4])
@pytest.mark.parametrize("make", [MCLMC, AdjustedMCLMC])
def test_moments_of_narrow_targets(make, condition):
    """Of the narrowest and widest of 100 directions, and the mean over all, from 8 chains.

    Six values of |t_7| above 7.5 in 1 of 1,200 targets; the unadjusted bias is below 10 %.
    """
    each, _ = of_gaussian(make, condition)
    seen = np.stack([each[..., 0], each[..., -1], each.mean(-1)], -1)
    error = seen.std(0, ddof=1) / np.sqrt(len(seen))
    bias = 0.1 if make is MCLMC else 0.0
    assert (np.abs(seen.mean(0)[0]) < 7.5 * error[0]).all()
    assert (np.abs(seen.mean(0)[1] - 1.0) < bias + 7.5 * error[1]).all()
