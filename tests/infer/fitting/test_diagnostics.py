"""One warning at the end of a fit, and the same figures in diagnostics and summary."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import scipy.special
import scipy.stats

from numpyro_bayeslayers.infer import MCMC, VI, Ensemble, Stein, fit
from numpyro_bayeslayers.infer.fitting._chain_figures import ChainFigures
from numpyro_bayeslayers.layers import AdaptiveLayer, RandomEffectsLayer, gaussian_link

pytestmark = pytest.mark.usefixtures("as_users_run")

quiet = functools.partial(fit, progress_bar=False)
ROWS, NOISE = 40, 0.5
RNG = np.random.default_rng(0)
X = np.stack([np.ones(ROWS), np.tile([-1.0, 1.0], ROWS // 2)], axis=1)
ALIKE = X + [0.0, 4.0]  # columns that hang together: a slope far from zero
Y = X @ [1.0, -0.5] + NOISE * RNG.normal(size=ROWS)
MANY = RNG.normal(size=(ROWS, 10)) + 3.0  # ten of them


def model(x, y=None):
    beta = numpyro.sample("beta", dist.Normal(0, 1).expand([x.shape[1]]).to_event(1))
    gaussian_link(x @ beta, y, scale=NOISE)


def said_by(ask):
    """The words of all warnings."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = ask()
    return found, [str(w.message) for w in said]


def test_chains_do_not_end_silently():
    """The funnel: divergent, and not mixed. One warning with the figures and the advice."""
    layer = RandomEffectsLayer(centered=True)
    group, y = np.arange(8), 0.1 * np.random.default_rng(0).normal(size=8)
    funnel = lambda g, y=None: gaussian_link(layer("g", g, 8), y, scale=1.0)
    way = MCMC(
        num_warmup=150,
        num_samples=350,
        num_chains=2,
        kernel_options={"target_accept_prob": 0.4},
        centering=None,
    )
    found, said = said_by(lambda: quiet(funnel, y=y, g=group, method=way))
    ended = found.diagnostics()
    lost = int(found.result.mcmc.get_extra_fields()["diverging"].sum())
    assert ended.divergences == lost > 0
    assert len(said) == 1 and said[0].startswith(f"{lost} of 700 draws are divergent")
    assert " ".join(ended.advice) == said[0]
    table = found.summary()
    assert table.attrs == {"divergences": lost, "not_finite": []}
    assert ended.r_hat == pytest.approx(table["r_hat"].max())
    assert table["r_hat"].idxmax() == ended.r_hat_site
    assert ended.n_eff == pytest.approx(table["n_eff"].min())
    assert ended.pareto_k is None and ended.slope is None
    assert 0 <= ended.depth_share < 1 and 0 < ended.energy < 1
    stats = found.to_arviz().sample_stats
    assert {"diverging", "energy"} <= set(stats)


@pytest.mark.slow
def test_sites_are_called_as_in_the_summary_and_stuck_chains_are_told():
    """Steps of a million are never taken: one warning, no arithmetic of NumPy's."""
    table = pd.DataFrame(X, columns=["one", "age"])
    slopes = lambda x, y=None: gaussian_link(AdaptiveLayer()("s", x), y, scale=NOISE)
    way = MCMC(
        num_warmup=150,
        num_samples=150,
        num_chains=2,
        kernel_options={"step_size": 1e6, "adapt_step_size": False},
    )
    found, said = said_by(lambda: quiet(slopes, y=Y, x=table, method=way))
    assert (
        len(said) == 1
        and "Of 2 chains, these never moved (counted from 0): 0, 1." in said[0]
    )
    assert "R-hat is inf at s." in said[0]
    lines, told = said_by(found.summary)
    ended = found.diagnostics()
    assert not told and ended.r_hat == np.inf and np.isnan(ended.n_eff)
    assert ended.r_hat_site in found.summary(all=True).index
    apart = {"s.beta": np.zeros((2, 150, 2, 1)) + np.arange(2)[:, None, None, None]}
    figures = ChainFigures.of(apart, found.result.mcmc)._replace(
        r_hat_at=("s.beta", (1, 0))
    )
    assert "at s.beta[age]," in " ".join(figures.advice(found._ending._label))
    assert "s.beta[age]" in lines.index and np.isinf(lines["r_hat"]).all()


def test_a_loss_that_falls_is_told():
    """Steps too small to arrive; the loss is flat at its end all the same."""
    way = VI(optim=8e-4)
    found, said = said_by(lambda: quiet(model, y=Y, x=X, method=way, num_steps=1500))
    assert len(said) == 1 and said[0].startswith("The loss still fell at the end, by ")
    assert "`num_steps`, now 1500" in said[0]
    ended = found.diagnostics()
    assert ended.slope.shape == (1,) and ended.slope[0] < -4 * ended.slope_error[0]
    assert ended.advice[0] == said[0]
    far = Ensemble(num_members=2, optim=8e-4)
    _, said = said_by(lambda: quiet(model, y=Y, x=X, method=far, num_steps=1500))
    assert len(said) == 1 and " of 2 members still fell at the end" in said[0]


@functools.cache
def arrived(columns, guide):
    x = {"apart": X, "alike": ALIKE, "many": MANY}[columns]
    return quiet(model, y=Y, x=x, method=VI(guide=guide, optim=0.05), num_steps=2000)


@pytest.mark.slow
def test_log_weights_are_those_of_the_evidence():
    """Their mean, by logarithms, is the evidence: a normal of covariance I noise² + x xᵀ.

    The guide is nearly the posterior: of 1,000 weights that differ by some percent the mean
    is right to 0.01; the guide of which it is not, to its error of 0.1 at most.
    """
    for columns, guide in (("apart", "normal"), ("alike", "full_rank")):
        x = {"apart": X, "alike": ALIKE}[columns]
        logs = arrived(columns, guide)._posterior.log_weights(jax.random.key(3), 1000)
        found = scipy.special.logsumexp(np.asarray(logs, float)) - np.log(1000)
        cov = NOISE**2 * np.eye(ROWS) + x @ x.T
        exact = scipy.stats.multivariate_normal.logpdf(Y, np.zeros(ROWS), cov)
        assert logs.shape == (1, 1000) and abs(found - exact) < 0.05


def test_k_hat_tells_a_guide_that_fits():
    """A mean field is right where columns are orthogonal, and too narrow where they are not.

    Of the best mean field for ten columns alike, k-hat of 1,000 draws is 1.2 ± 0.2.
    """
    good, rich, bad = (
        arrived(*kind)
        for kind in (("apart", "normal"), ("alike", "full_rank"), ("many", "normal"))
    )
    assert good.diagnostics().pareto_k < 0.5 and not good.diagnostics().advice
    assert rich.diagnostics().pareto_k < 0.5
    ended = bad.diagnostics()
    assert ended.pareto_k > 0.7
    (said,) = ended.advice
    assert "the guide fits badly" in said and 'guide="full_rank"' in said
    header = bad.summary(num_samples=10).attrs
    assert header == {"pareto_k": ended.pareto_k.tolist(), "not_finite": []}


def test_a_second_look_compiles_nothing(compiled):
    found = arrived("apart", "normal")
    found.diagnostics(), found.summary(num_samples=10)
    del compiled[:]
    found.diagnostics(), found.summary(num_samples=10)
    assert not compiled


def test_an_end_compiles_nothing_and_short_fits_say_nothing(compiled):
    """As warnings are errors here, each fit is quiet."""
    points = quiet(model, y=Y, x=X, method=VI(guide="delta"), num_steps=20)
    assert np.isnan(points.diagnostics().pareto_k).all()
    assert np.isnan(points.diagnostics().slope).all()
    found = quiet(model, y=Y, x=X, method=Stein(num_particles=2), num_steps=3)
    assert found.diagnostics() == type(found.diagnostics())()
    way = MCMC(num_warmup=5, num_samples=5, num_chains=2)
    assert quiet(model, y=Y, x=X, method=way).diagnostics().divergences >= 0
    del compiled[:]
    found._ending.warn(stacklevel=1)
    points._ending.warn(stacklevel=1)
    assert not compiled


def test_members_that_are_not_finite_are_named_once():
    def guide(x, y=None):
        start = numpyro.param("start", lambda key: jax.random.normal(key, (2,)))
        numpyro.sample("beta", dist.Delta(start).to_event(1))
        numpyro.sample("z", dist.Delta(start[0]))

    def broken(x, y=None):
        model(x, y)
        numpyro.factor("broken", jnp.nan * numpyro.sample("z", dist.Normal(0, 1)))

    def constant(x, y=None):
        model(x, y)
        numpyro.sample("z", dist.Normal(0, 1))
        numpyro.factor("broken", jnp.array(-jnp.inf))

    way = Ensemble(num_members=2, guide=guide)
    _, said = said_by(lambda: quiet(constant, y=Y, x=X, method=way, num_steps=3))
    assert len(said) == 1
    assert said[0].startswith(
        "The last loss is not finite, but all parameters are: members 0"
    )
    found, said = said_by(lambda: quiet(broken, y=Y, x=X, method=way, num_steps=3))
    assert len(said) == 1
    assert said[0].startswith("Not finite: members 0 and 1 of 2, the first from step 0 on")
    assert "smaller step" in said[0]
    ended = found.diagnostics()
    assert ended.not_finite == (0, 1) and np.isnan(ended.pareto_k).all()
