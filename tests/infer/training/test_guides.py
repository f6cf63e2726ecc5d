"""Guides that pack their sites, that compute their posterior at the end, or cannot be kept."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import NUTS, SVI, Trace_ELBO, autoguide as guides, init_to_value
from numpyro.primitives import mutable

from numpyro_bayeslayers.handlers import temper
from numpyro_bayeslayers.infer import (
    VI,
    EnsembleMCMC,
    EnsembleSVI,
    Stein,
    fit,
    log_joint_of,
)
from tests.infer.svi_problems import X, Y, model as regression

pytestmark = pytest.mark.usefixtures("as_users_run")


def three_sites(y=None):
    z, a, m = [numpyro.sample(n, dist.Normal(0, 10)) for n in "zam"]
    numpyro.sample("y", dist.Normal(jnp.stack([z, a, m]), 0.01), obs=y)


@pytest.mark.parametrize(
    "kind",
    [
        guides.AutoDiagonalNormal,
        guides.AutoMultivariateNormal,
        guides.AutoLowRankMultivariateNormal,
        guides.AutoLaplaceApproximation,
    ],
)
def test_sites_are_packed_in_the_order_of_the_model(kind):
    """The start says it: sites that begin at 1, 2 and 3 are packed so, as by stock `SVI`."""
    start = init_to_value(values={"z": 1.0, "a": 2.0, "m": 3.0})
    guide, y = kind(three_sites, init_loc_fn=start), jnp.array([1.0, 2.0, 3.0])
    svi = SVI(three_sites, guide, optax.sgd(0.1), Trace_ELBO())
    stock = svi.get_params(svi.init(jax.random.key(0), y=y))
    ensemble = EnsembleSVI(three_sites, guide, optax.sgd(0.1), num_members=1)
    packed = ensemble.get_params(ensemble.init(0, y=y))["auto_loc"]
    np.testing.assert_array_equal(stock["auto_loc"], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(packed, [[1.0, 2.0, 3.0]])


def test_a_stock_guide_reads_the_result():
    """Exact observations: the median is them, up to a few of the posterior's sd of 0.01."""
    guide, y = guides.AutoDiagonalNormal(three_sites), jnp.array([1.0, 2.0, 3.0])
    SVI(three_sites, guide, optax.adam(0.1), Trace_ELBO()).init(jax.random.key(0), y=y)
    ensemble = EnsembleSVI(three_sites, guide, optax.adam(0.1), num_members=2)
    result = ensemble.run(0, 800, y=y, progress_bar=False)
    for e in range(2):
        found = guide.median({name: x[e] for name, x in result.params.items()})
        assert found == {
            n: pytest.approx(v, abs=0.1)
            for n, v in zip("zam", [1.0, 2.0, 3.0], strict=True)
        }


@pytest.mark.parametrize("batch_size", [None, 6])
def test_laplace_is_that_of_numpyro(batch_size):
    """Of each member, at its own parameters, on all rows also after minibatches."""
    ensemble = EnsembleSVI(
        regression, guides.AutoLaplaceApproximation, optax.adam(0.05), num_members=2
    )
    result = ensemble.run(0, 300, X, Y, batch_size=batch_size, progress_bar=False)
    stock = guides.AutoLaplaceApproximation(regression)
    SVI(regression, stock, optax.adam(0.1), Trace_ELBO()).init(jax.random.key(0), X, Y)
    for e in range(2):
        posterior = stock.get_posterior({"auto_loc": result.params["auto_loc"][e]})
        np.testing.assert_allclose(
            result.params["auto_scale_tril"][e], posterior.scale_tril, rtol=1e-3, atol=1e-6
        )


def mean(x, y=None):
    m = numpyro.sample("m", dist.Normal(0, 10))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(m, 1.0), obs=y)


def test_laplace_is_in_predictions_draws_and_summary():
    """The posterior of a normal mean in closed form: sd 20.01^-1/2 = 0.2236.

    2000 draws: the standard error of a sd is 0.0035, six of them are 0.021 (2e-9).
    """
    x, y = np.zeros(20), 3 + np.random.default_rng(0).normal(size=20)
    laplace = guides.AutoLaplaceApproximation
    ensemble = EnsembleSVI(mean, laplace, optax.adam(0.3), num_members=2)
    result = ensemble.run(0, 300, x, y, progress_bar=False)
    asked = {"num_samples": 2000, "return_sites": ["m"]}
    sd = ensemble.predict(1, result, x, **asked)["m"].std(0)
    np.testing.assert_allclose(sd, 0.2236, atol=0.021)
    found = fit(
        mean,
        y=y,
        x=x,
        num_steps=300,
        method=VI(guide=laplace, optim=0.3),
        progress_bar=False,
    )
    assert found.draws(num_samples=2000)["m"].std() == pytest.approx(0.2236, abs=0.021)
    line = found.summary(num_samples=2000).loc["m"]
    assert line["std"] == pytest.approx(0.2236, abs=0.021)


def flat(y=None):
    a = numpyro.sample("a", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.sample("y", dist.Normal(jax.nn.relu(a - 100.0), 1.0), obs=y)


def test_a_singular_hessian_is_said():
    guide = guides.AutoLaplaceApproximation(
        flat, init_loc_fn=init_to_value(values={"a": 0.0})
    )
    ensemble = EnsembleSVI(flat, guide, optax.sgd(0.1), num_members=1)
    with pytest.warns(UserWarning, match="singular or not positive in member 0 of 1"):
        ensemble.run(0, 2, y=0.0, progress_bar=False)


def test_laplace_needs_all_rows():
    ensemble = EnsembleSVI(
        regression, guides.AutoLaplaceApproximation, optax.adam(0.05), num_members=2
    )
    with pytest.raises(
        ValueError, match="from all rows, which `run_batches` does not have"
    ):
        ensemble.run_batches(0, [(X[:4], Y[:4])], num_rows=12, progress_bar=False)
    method = Stein(guide=guides.AutoLaplaceApproximation)
    with pytest.raises(ValueError, match="must draw while it is fitted, got AutoLaplace"):
        fit(regression, y=Y, x=X, method=method, num_steps=2, progress_bar=False)
    listed = guides.AutoGuideList(regression)
    listed.append(guides.AutoLaplaceApproximation(regression))
    with pytest.raises(ValueError, match="as a part of AutoGuideList"):
        EnsembleSVI(regression, listed, optax.adam(0.05), num_members=2)


@pytest.mark.parametrize("kind", [guides.AutoDAIS, guides.AutoSurrogateLikelihoodDAIS])
def test_guides_that_draw_with_the_training_data_are_refused(kind):
    options = {"surrogate_model": regression} if "Surrogate" in kind.__name__ else {}
    with pytest.raises(ValueError, match=f"using only its parameters, got {kind.__name__}"):
        EnsembleSVI(regression, kind(regression, **options), optax.adam(0.05))
    method = VI(guide=kind(regression, **options))
    with pytest.raises(ValueError, match=f"using only its parameters, got {kind.__name__}"):
        fit(regression, y=Y, x=X, method=method, num_steps=2, progress_bar=False)


def centered(x, y=None):
    """Its running mean of the inputs is what a prediction subtracts."""
    kept = mutable("kept", {"mean": jnp.zeros(())})
    if y is not None:
        kept["mean"] = 0.9 * kept["mean"] + 0.1 * x.mean()
    middle = x.mean() if y is not None else kept["mean"]
    w = numpyro.sample("w", dist.Normal(0, 10))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(w * (x - middle), 0.1), obs=y)


def test_what_a_model_keeps_is_used_to_predict():
    """The noise is 0.1: a mean of 100 draws is off by 0.01, and the running mean by 1e-3."""
    x = jnp.linspace(99.0, 101.0, 50)
    y = 2 * (x - 100)
    ensemble = EnsembleSVI(centered, guides.AutoNormal, optax.adam(0.1), num_members=2)
    result = ensemble.run(0, 400, x, y, progress_bar=False)
    off = ensemble.predict(1, result, x, num_samples=50)["y"].mean(0) - y
    assert np.abs(off).max() < 0.2  # without it: 200
    method = VI(guide=guides.AutoNormal, optim=0.1)
    found = fit(centered, y=y, x=x, method=method, num_steps=400, progress_bar=False)
    assert np.abs(found.predict(x=x).mean - y).max() < 0.2


@pytest.mark.parametrize("method", ["mcmc", "stein"])
def test_methods_that_keep_nothing_say_so(method):
    x, steps = jnp.linspace(99.0, 101.0, 5), {} if method == "mcmc" else {"num_steps": 2}
    with pytest.raises(ValueError, match=r"does not keep the mutable state.*'kept'"):
        fit(centered, y=x, x=x, method=method, progress_bar=False, **steps)


def test_other_doors_that_keep_nothing_say_so():
    x = jnp.linspace(99.0, 101.0, 5)
    with pytest.raises(
        ValueError, match=r"`EnsembleMCMC` does not keep the mutable state .*'kept'"
    ):
        EnsembleMCMC(NUTS(centered), 1, 1, 2).run(0, x, x)
    with pytest.raises(
        ValueError, match=r"`log_joint_of` does not keep the mutable state .*'kept'"
    ):
        log_joint_of(centered, x, x)


DOORS = {
    "MCMC": lambda model: fit(model, y=Y, x=X, method="mcmc"),
    "Stein": lambda model: fit(model, y=Y, x=X, method="stein", num_steps=2),
    "EnsembleMCMC": lambda model: EnsembleMCMC(NUTS(model), 1, 1, 2).run(0, X, Y),
    "log_joint_of": lambda model: log_joint_of(model, X, Y),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_schedule_is_refused_where_no_steps_are_counted(door):
    """It would stay at its first value, a weight of zero here: no prior at all."""
    tempered = temper(regression, optax.linear_schedule(0.0, 1.0, 100))
    with pytest.raises(ValueError, match=r"does not count steps.*initial value.*beta=0\.5"):
        DOORS[door](tempered)


def test_a_schedule_goes_on_where_steps_are_counted():
    tempered = temper(regression, optax.linear_schedule(0.0, 1.0, 100))
    fit(tempered, y=Y, x=X, num_steps=2, progress_bar=False)
