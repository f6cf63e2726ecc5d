"""Chains on minibatches: their law on a normal model is known, with its bias."""

import functools

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_bayeslayers.infer import SGMCMC, EnsembleMCMC, fit, load
from numpyro_bayeslayers.infer._stochastic_gradient import Course, StochasticGradient

pytestmark = pytest.mark.usefixtures("as_users_run")

N, SIZE = 50, 10
Y = 1.0 + np.random.default_rng(0).normal(size=N)
PRECISION = N + 1 / 3.0**2
MEAN = Y.sum() / PRECISION


def model(x, y=None):
    """A normal mean: the posterior is normal, and so is what the dynamics draw."""
    theta = numpyro.sample("theta", dist.Normal(0.0, 3.0))
    numpyro.deterministic("twice", 2 * theta)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(theta + 0 * x, 1.0), obs=y)


def stationary(step, size, friction=None):
    """The variance that the dynamics have: that of x <- A x + noise, by a Lyapunov equation."""
    eps, noise = step / N, 0.0 if size is None else N**2 * Y.var() / size
    if friction is None:
        pull = 1 - eps * PRECISION
        return (2 * eps + eps**2 * noise) / (1 - pull**2)
    # (v, theta) with v' = (1 - a) v - eps p theta + e, theta' = theta + v'.
    row = [1 - friction, -eps * PRECISION]
    A = np.array([row, [row[0], row[1] + 1]])
    Q = np.full((2, 2), 2 * friction * eps + eps**2 * noise)
    whole = np.linalg.solve(np.eye(4) - np.kron(A, A), Q.ravel())
    return whole.reshape(2, 2)[1, 1]


METHOD = SGMCMC(
    num_members=6, step_size=0.1, cycles=None, num_samples=300, exploration=0.1, optim=0.1
)
ROWS = {"y": Y, "x": np.zeros(N)}


@pytest.fixture(scope="module")
def found():
    how = {"num_steps": 100, "batch_size": SIZE, "progress_bar": False}
    return fit(model, **ROWS, method=METHOD, **how)


def test_langevin_on_minibatches(found):
    """1,800 draws worth 1,200 or more: six standard errors. The bias is 30 % of the variance."""
    theta = np.asarray(found.draws()["theta"], float)
    assert theta.shape == (6, 300)
    right = stationary(0.1, SIZE)
    assert 1.2 < right * PRECISION < 1.4
    assert abs(theta.mean() - MEAN) < 6 * np.sqrt(right / 1200)
    assert abs(theta.var() / right - 1) < 6 * np.sqrt(2 / 1200)
    np.testing.assert_allclose(found.draws()["twice"], 2 * theta, rtol=1e-5)
    assert found.diagnostics().divergences == 0


def test_a_file_of_them(found, tmp_path):
    found.save(tmp_path / "chains.fit")
    again = load(tmp_path / "chains.fit", model)
    assert again.method.step_size == 0.1
    got, right = (f.predict(x=np.zeros(3)).samples for f in (again, found))
    np.testing.assert_array_equal(got, right)


@pytest.mark.parametrize("cycles", [None, 4])
def test_hamiltonian_dynamics(cycles):
    """All rows, from far away. In cycles the bias is below that of the largest step; 6 errors."""
    course = Course(N, None, frozenset(), 0.2, 0.2, cycles, 100, 10, 400 // (cycles or 1))
    kernel = StochasticGradient(model, course)
    chains = EnsembleMCMC(kernel, 0, 400, 4)
    start = {"theta": np.full(4, 3.0)}
    rows = {name: np.asarray(v, np.float32) for name, v in ROWS.items()}
    theta = np.asarray(
        chains.run(0, init=start, progress_bar=False, **rows).samples["theta"]
    )
    largest, right = stationary(0.2, None, 0.2), stationary(0.2, None, 0.2)
    if cycles is not None:
        right = (1 / PRECISION + largest) / 2
    slack = 6 * np.sqrt(2 / 800) + abs(largest / right - 1)
    assert abs(theta.var() / right - 1) < slack
    assert abs(theta.mean() - MEAN) < 6 * np.sqrt(right / 800)


def test_steps_of_a_cycle():
    """Zhang et al. (2020), equation 1: the size at each step, and where there is noise."""
    course = Course(10, None, frozenset(), lambda k: 1.0 + k, None, 2, 3, 2, 1)
    k = np.arange(10)
    size, noise = jax.vmap(course.at)(k)
    right = (1.0 + k) / 10 * 0.5 * (np.cos(np.pi * (k % 5) / 5) + 1)
    np.testing.assert_allclose(size, right, rtol=1e-5)
    assert noise.tolist() == [0, 0, 0, 1, 1] * 2


def test_wrong_numbers():
    for change, match in (
        ({"kernel": "sgdl"}, "Did you mean 'sgld'"),
        ({"step_size": 0.0}, "`step_size` must be positive"),
        ({"cycles": 3}, "multiple of `cycles`, 3, got 50"),
        ({"exploration": 1.0}, "`exploration`"),
        ({"friction": 0.0}, "`friction`"),
    ):
        with pytest.raises(ValueError, match=match):
            SGMCMC(**change)
    lost = functools.partial(fit, model, **ROWS, method=SGMCMC, batch_size=SIZE)
    with pytest.raises(ValueError, match="`num_steps` or `num_epochs`"):
        lost()
