"""Chains from modes: each near its own, right within it, predictions by all draws."""

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_bayeslayers.infer import AdjustedMCLMC, SampledEnsemble, fit, load
from numpyro_bayeslayers.infer.fitting._diagnostics import Ending
from numpyro_bayeslayers.infer.fitting._falls import advice_on_falls
from numpyro_bayeslayers.layers import gaussian_link

pytestmark = pytest.mark.usefixtures("as_users_run")

X, NOISE = np.linspace(-1, 1, 20), 0.5
Y = 2 * X + NOISE * np.random.default_rng(0).normal(size=20)


def folded(x, y=None):
    """A line whose slope is the square of a site: two modes, alike."""
    root = numpyro.sample("root", dist.Normal(0.0, 1.0))
    level = numpyro.sample("level", dist.Normal(0.0, 1.0))
    return gaussian_link(level + root**2 * x, y, scale=NOISE)


METHOD = SampledEnsemble(
    num_members=6, optim=0.1, num_warmup=150, num_samples=200, kernel=AdjustedMCLMC
)


@pytest.fixture(scope="module")
def found():
    return fit(folded, y=Y, x=X, method=METHOD, num_steps=200, seed=1, progress_bar=False)


def exact():
    """Mean and standard deviation of |root| by quadrature; the level is independent of it."""
    grid = np.linspace(0.0, 4.0, 4001)
    precision = 1 + 20 / NOISE**2
    away = Y[:, None] - grid**2 * X[:, None]
    logs = -0.5 * grid**2 - 0.5 * (away**2).sum(0) / NOISE**2
    logs = logs + 0.5 * (away.sum(0) / NOISE**2) ** 2 / precision
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()
    mean = (weight * grid).sum()
    return mean, np.sqrt((weight * (grid - mean) ** 2).sum())


def test_each_chain_samples_its_own_mode(found):
    """All of six start on one side in 1 of 32 seeds, not in this one; 6 standard errors."""
    root = np.asarray(found.draws()["root"], float)
    assert root.shape == (6, 200)
    sides = np.sign(root)
    assert (sides == sides[:, :1]).all() and {*sides[:, 0]} == {-1.0, 1.0}
    mean, spread = exact()
    each = np.abs(root).mean(1)
    error = np.abs(root).std() / np.sqrt(200)  # a sixth of 1,200 draws
    assert abs(each.mean() - mean) < 6 * error
    assert abs(np.abs(root).std() / spread - 1) < 0.25
    assert found.diagnostics().advice == ()


def test_predictions_are_of_all_draws(found):
    root, level = (np.asarray(found.draws()[n]).ravel() for n in ("root", "level"))
    right = (level + root**2 * X[3]).mean()
    got = found.expected(x=X[3:4], num_samples=1200)
    np.testing.assert_allclose(got.mean, right, rtol=1e-4)
    assert got.samples.shape == (1200, 1)


def test_a_file_of_them(found, tmp_path):
    found.save(tmp_path / "chains.fit")
    again = load(tmp_path / "chains.fit", folded)
    assert again.method.num_members == 6
    np.testing.assert_array_equal(again.result.falls, found.result.falls)
    got, right = (f.predict(x=X, num_samples=6).samples for f in (again, found))
    assert (np.asarray(got) == np.asarray(right)).all()


def test_chains_that_stand_still_are_named(found):
    """Also where they are not expected to agree, however few their draws are."""
    still = dict(found.draws())
    still = {n: np.array(x) for n, x in still.items()}
    for x in still.values():
        x[[1, 4]] = x[[1, 4], :1]
    posterior = found._posterior._replace(samples=still)
    ending = Ending(found.method, posterior, found._problem)
    (said,) = ending.diagnostics().advice
    assert said.startswith("Of 6 chains, these never moved (counted from 0): 1, 4.")


def test_wrong_numbers():
    for name in ("num_members", "num_samples"):
        with pytest.raises(ValueError, match=f"`{name}`"):
            SampledEnsemble(**{name: 0})
    with pytest.raises(TypeError, match="`kernel`"):
        SampledEnsemble(kernel="NUTS")


def test_a_chain_that_falls_far_below_its_mode_is_named(found):
    """Of 2 numbers a normal posterior falls by 1; 12 and more have a chance of e^-12."""
    falls = found.result.falls
    assert falls.shape == (6,) and (falls > -1).all() and falls.max() < 12
    (said,) = advice_on_falls(np.where(np.arange(6) == 4, 300.0, falls), 2)
    assert said.startswith("The log density of 1 of 6 chains, 4, ends up to 300 nats below")
    assert not [*advice_on_falls(np.full(6, np.nan), 2)]
