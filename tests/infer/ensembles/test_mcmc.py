"""Chains by member."""

import gc

import arviz
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import AIES, HMC, MCMC, NUTS

from numpyro_bayeslayers.infer import (
    EnsembleMAP,
    EnsembleMCMC,
    EnsembleResult,
    log_joint_of,
)

pytestmark = pytest.mark.usefixtures("as_users_run")

X = jnp.zeros(20)
Y = jax.random.normal(jax.random.key(0), (20,)) + 0.5


def model(x, y=None):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    with numpyro.plate("data", x.shape[0]):
        numpyro.sample("y", dist.Normal(x + mean, 1.0), obs=y)


@pytest.fixture(scope="module")
def chains():
    return EnsembleMCMC(HMC(model, trajectory_length=2.0), 200, 500, num_members=4)


def assert_posterior(draws, y):
    """Each chain has the conjugate posterior: 5 standard errors at 100 effective draws."""
    sd = (1 + len(y)) ** -0.5
    assert np.all(np.abs(draws.mean(1) - y.sum() / (1 + len(y))) < 5 * sd / 10)
    assert np.all(np.abs(draws.std(1) / sd - 1) < 5 / np.sqrt(200))


def test_posterior_and_further_runs(chains, compiled):
    """One object serves other data and other shapes, and compiles once for each shape."""
    first = chains.run(0, X, Y, progress_bar=False, extra_fields=["accept_prob"])
    draws = np.asarray(first.samples["mean"])
    assert draws.shape == (4, 500)
    assert_posterior(draws, Y)
    fields = first.mcmc.get_extra_fields(group_by_chain=True)
    assert fields["accept_prob"].shape == (4, 500)
    assert jnp.unique(first.mcmc.last_state.adapt_state.step_size).size == 4
    before = len(compiled)
    again = chains.run(0, X, Y, progress_bar=False, extra_fields=["accept_prob"])
    assert len(compiled) == before
    np.testing.assert_array_equal(draws, again.samples["mean"])
    assert_posterior(chains.run(1, X, Y - 3.0, progress_bar=False).samples["mean"], Y - 3.0)
    assert_posterior(chains.run(1, X[:9], Y[:9], progress_bar=False).samples["mean"], Y[:9])
    # A result stays as it was.
    kept = first.mcmc.get_samples(group_by_chain=True)["mean"]
    np.testing.assert_array_equal(kept, draws)
    posterior = arviz.from_numpyro(first.mcmc).posterior
    assert dict(posterior["mean"].sizes) == {"chain": 4, "draw": 500}


def test_a_further_run_keeps_nothing(chains):
    """Of runs whose results are let go, no array is left, neither in the programs nor beside."""

    def held():
        gc.collect()
        return sum(x.nbytes for x in jax.live_arrays())

    again = lambda: chains.run(2, X, Y, progress_bar=False, extra_fields=["accept_prob"])
    again()
    before = held()
    again()
    again()
    assert held() == before


def test_chains_are_those_that_run_alone():
    """In float64, in which they stay together for as long as this."""
    with jax.enable_x64(True):
        x, y = X.astype("float64"), Y.astype("float64")
        together = EnsembleMCMC(NUTS(model, max_tree_depth=3), 10, 10, num_members=3)
        draws = together.run(0, x, y, progress_bar=False).samples["mean"]
        # NumPyro's single chain.
        alone = EnsembleMCMC(NUTS(model, max_tree_depth=3), 10, 10, num_members=1)
        first = alone.run(0, x, y, progress_bar=False).samples["mean"]
        np.testing.assert_allclose(draws[:1], first, rtol=1e-8)


def test_thinning_keeps_what_numpyro_keeps():
    """Of 10 draws by threes, the last of each three after the first, which is left out."""
    all_of, kept = (
        EnsembleMCMC(
            HMC(model, step_size=0.1, num_steps=2, adapt_step_size=False),
            3,
            10,
            2,
            thinning=k,
        ).run(0, X, Y, progress_bar=False)
        for k in (1, 3)
    )
    right = all_of.samples["mean"][:, [3, 6, 9]]
    np.testing.assert_allclose(kept.samples["mean"], right, rtol=1e-6)
    assert kept.mcmc.get_extra_fields()["diverging"].shape == (6,)
    stock = MCMC(
        HMC(model, step_size=0.1, num_steps=2, adapt_step_size=False),
        num_warmup=3,
        num_samples=10,
        num_chains=2,
        chain_method="vectorized",
        thinning=3,
        progress_bar=False,
    )
    stock.run(jax.random.key(0), X, Y)
    alike = stock.get_samples(group_by_chain=True)["mean"]
    np.testing.assert_allclose(kept.samples["mean"], alike, rtol=1e-5)
    with pytest.raises(ValueError, match="`thinning` must be at most"):
        EnsembleMCMC(HMC(model), 1, 2, 1, thinning=3)


def short():
    kernel = HMC(model, step_size=0.1, num_steps=2, adapt_step_size=False)
    return EnsembleMCMC(kernel, 3, 4, num_members=2)


def test_starts_that_are_given_compile_nothing_again(compiled):
    chains, starts = short(), {"mean": jnp.zeros(2)}
    for data in (Y, Y + 1.0):
        before = len(compiled)
        chains.run(0, X, data, init=starts, progress_bar=False)
    assert len(compiled) == before


def test_kernels_that_keep_their_data_see_that_of_each_run():
    """AIES takes the data into its potential when it starts; draws move with the data."""
    chains = EnsembleMCMC(AIES(model), 200, 200, num_members=10)
    for shift in (0.0, 5.0):
        draws = chains.run(0, X, Y + shift, progress_bar=False).samples["mean"]
        # 2,000 draws of an effective hundredth: 5 standard errors.
        right, sd = (Y + shift).sum() / 21, 21**-0.5
        assert abs(draws.mean() - right) < 5 * sd / np.sqrt(20)


def test_starts_that_cannot_be_found():
    def impossible(y):
        mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        numpyro.factor("nowhere", jnp.where(mean < 1e6, -jnp.inf, 0.0) + y)

    chains = EnsembleMCMC(NUTS(impossible), 2, 2, num_members=2)
    with pytest.raises(RuntimeError, match="Cannot find valid initial parameters"):
        chains.run(0, jnp.zeros(()), progress_bar=False)


def test_the_result_is_that_of_numpyro():
    """It goes on from its last state, and leaves out sites, as `MCMC` does."""
    fields = ["~z.mean", "adapt_state.step_size"]
    found = short().run(0, X, Y, progress_bar=True, extra_fields=fields)
    assert not found.samples
    mcmc = found.mcmc
    assert mcmc.get_extra_fields()["adapt_state.step_size"].shape == (8,)
    mcmc.post_warmup_state, mcmc.progress_bar = mcmc.last_state, False
    mcmc.run(mcmc.post_warmup_state.rng_key, X, Y)
    assert mcmc.get_samples(group_by_chain=True)["mean"].shape == (2, 4)


def test_kernel_made_of_a_potential():
    kernel = HMC(potential_fn=lambda z: 0.5 * jnp.sum((z - 3.0) ** 2), step_size=0.5)
    chains = EnsembleMCMC(kernel, 50, 100, num_members=2)
    draws = chains.run(0, init=jnp.zeros((2, 5)), progress_bar=False).samples
    assert draws.shape == (2, 100, 5)
    # 10 000 standard normals of a tenth of the worth: 5 standard errors.
    assert abs(draws.mean() - 3.0) < 5 / np.sqrt(100)
    with pytest.raises(
        ValueError, match=r"`init` must have a first axis of the 2 members, got shape"
    ):
        chains.run(0, init=jnp.zeros(5), progress_bar=False)


def test_warm_start():
    """With tiny steps, each chain stays where its member was, in the constrained space."""

    def scaled(n, y):  # a number among the arguments is part of the program
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        numpyro.sample("y", dist.Normal(0.0, scale).expand([n]).to_event(1), obs=y)

    kernel = HMC(scaled, step_size=1e-6, num_steps=1, adapt_step_size=False)
    short = EnsembleMCMC(kernel, 0, 2, num_members=2)
    starts = {"scale": jnp.array([0.1, 7.0])}
    samples = short.run(0, 20, Y, init=starts, progress_bar=False).samples["scale"]
    np.testing.assert_allclose(samples, jnp.tile(starts["scale"][:, None], 2), rtol=1e-3)
    fitted = EnsembleResult({"scale": jnp.log(starts["scale"])}, jnp.zeros((2, 1)))
    samples = short.run(0, 20, Y, init=fitted, progress_bar=False).samples["scale"]
    np.testing.assert_allclose(samples, jnp.tile(starts["scale"][:, None], 2), rtol=1e-3)
    with pytest.raises(ValueError, match=r"inside its support; .* for the members \[1\]"):
        short.run(0, 20, Y, init={"scale": jnp.array([0.1, -7.0])}, progress_bar=False)


def test_modes_are_starts():
    """What `EnsembleMAP` finds of `log_joint_of` is taken as it is."""
    init_fn, log_joint = log_joint_of(model, X, Y)
    ensemble = EnsembleMAP(log_joint, init_fn, optax.adam(0.1), ensemble_size=2)
    fitted = ensemble.run(0, 300, X, Y, progress_bar=False)
    kernel = HMC(model, step_size=1e-6, num_steps=1, adapt_step_size=False)
    short = EnsembleMCMC(kernel, 0, 2, num_members=2)
    samples = short.run(0, X, Y, init=fitted, progress_bar=False).samples["mean"]
    np.testing.assert_allclose(samples, Y.sum() / 21, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"kernel": model}, TypeError, "`kernel` must be a kernel of numpyro.infer, got"),
        ({"num_members": 0}, ValueError, "`num_members` must be a positive integer, got 0"),
        ({"num_samples": 0}, ValueError, "`num_samples` must be a positive integer, got 0"),
    ],
)
def test_refuses(change, error, match):
    options = {"kernel": NUTS(model), "num_warmup": 5, "num_samples": 5, "num_members": 2}
    with pytest.raises(error, match=match):
        EnsembleMCMC(**options | change)


@pytest.mark.parametrize(
    ("init", "error", "match"),
    [
        ({"mean": jnp.zeros(3)}, ValueError,
         r"`init` of the site 'mean' must have a first axis of the 4 members, got shape \(3,\)"),
        ({"mean": jnp.zeros((4, 2))}, ValueError,
         r"`init` of the site 'mean' must have shape \(4,\), got \(4, 2\)"),
        ({"mean_auto_loc": jnp.zeros(4)}, ValueError,
         r"latent sites of the model, \['mean'\], got \['mean_auto_loc'\]"),
        (jnp.zeros(4), TypeError, "`init` must be a dictionary of values by site name"),
    ],
)  # fmt: skip
def test_refuses_other_starts(chains, init, error, match):
    with pytest.raises(error, match=match):
        chains.run(0, X, Y, init=init, progress_bar=False)
