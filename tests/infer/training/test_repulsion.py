"""Members that repel each other: the gradient by hand, and what it does to functions."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer.autoguide import AutoDelta

from numpyro_bayeslayers.infer import EnsembleMAP, EnsembleSVI, Modes, fit, repulsive

RNG = np.random.default_rng(0)
START = RNG.normal(size=(4, 3))
SIZE, BAND = 0.1, 1.3


def log_joint(w, x, y):
    return -0.5 * jnp.sum((y - x @ w) ** 2), -0.5 * jnp.sum(w**2)


X, Y = RNG.normal(size=(6, 3)), RNG.normal(size=6)


def pushes(z, square):
    """The sum of the gradients of the kernel over its sum, for each member."""
    away = z[:, None] - z[None]
    k = np.exp(-(away**2).sum(-1) / (2 * square))
    return -(k[..., None] * away).sum(1) / square / k.sum(1, keepdims=True)


@pytest.mark.parametrize("bandwidth", [BAND, None])
def test_a_step_in_the_space_of_weights(bandwidth):
    """One step of gradient descent, by the formula of the paper."""
    apart = repulsive(weight=2.0, bandwidth=bandwidth)
    ensemble = EnsembleMAP(
        log_joint, lambda key: jnp.zeros(3), optax.sgd(SIZE), 4, repulsion=apart
    )
    done = ensemble.run(0, 1, X, Y, init=jnp.asarray(START), progress_bar=False)
    square = BAND**2
    if bandwidth is None:
        first, second = np.triu_indices(4, 1)
        squares = ((START[first] - START[second]) ** 2).sum(1)
        square = np.median(squares) / (2 * np.log(5))
    slope = X.T @ (X @ START.T - Y[:, None])
    right = START - SIZE * (slope.T + START + 2.0 * pushes(START, square))
    np.testing.assert_allclose(done.params, right, rtol=1e-4, atol=1e-5)


GRID = np.array([[-2.0, 0.0, 1.0], [1.0, 1.0, 0.0]])


def test_a_step_in_the_space_of_functions():
    """By autodiff of the term itself, written out; and by the chain rule of linear functions."""
    function = lambda w, rows: rows @ w
    apart = repulsive("rbf", "functions", function=function, rows=GRID, bandwidth=BAND)
    ensemble = EnsembleMAP(
        log_joint, lambda key: jnp.zeros(3), optax.sgd(SIZE), 4, repulsion=apart
    )
    done = ensemble.run(0, 1, X, Y, init=jnp.asarray(START), progress_bar=False)
    slope = X.T @ (X @ START.T - Y[:, None])
    chain = pushes(START @ GRID.T, BAND**2) @ GRID
    right = START - SIZE * (slope.T + START + chain)
    np.testing.assert_allclose(done.params, right, rtol=1e-4, atol=1e-5)

    def term(w):
        f, others = GRID @ w, jnp.asarray(START @ GRID.T)
        return jnp.log(jnp.exp(-((f - others) ** 2).sum(1) / (2 * BAND**2)).mean())

    by_hand = jax.vmap(jax.grad(term))(jnp.asarray(START))
    np.testing.assert_allclose(by_hand, chain, rtol=1e-4, atol=1e-5)


def curve(x, y=None):
    h = numpyro.sample("h", dist.Normal(0.0, 1.0).expand([2, 5]).to_event(2))
    v = numpyro.sample("v", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
    f = numpyro.deterministic("f", jnp.tanh(x[:, None] * h[0] + h[1]) @ v)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, 0.1), obs=y)


SEEN = np.linspace(-1.0, -0.4, 8)
AWAY = np.linspace(0.8, 2.0, 5)


def spread(weight, **options):
    apart = repulsive(
        "rbf", "functions", function="f", rows={"x": np.r_[SEEN, AWAY]}, weight=weight
    )
    svi = EnsembleSVI(
        curve, AutoDelta, optax.adam(0.03), num_members=4, repulsion=apart, **options
    )
    done = svi.run(0, 250, SEEN, np.sin(3 * SEEN), progress_bar=False)
    how = {"num_samples": 1, "return_sites": ["f"]}
    at = np.r_[SEEN, AWAY]
    f = np.asarray(svi.predict(1, done, at, **how)["f"])[0]
    return f[:, : len(SEEN)].std(0).mean(), f[:, len(SEEN) :].std(0).mean()


@pytest.mark.slow
def test_functions_repel_away_from_data():
    """Their spread away from the data grows with the weight, and by far more than at it."""
    none, some, much = (spread(weight) for weight in (0.0, 3.0, 30.0))
    assert none[1] < some[1] < much[1]
    assert much[1] - none[1] > 3 * (much[0] - none[0])


def test_a_method_of_fit():
    method = Modes(num_members=3, optim=0.05, repulsion=repulsive(weight=5.0))
    how = {"y": np.sin(SEEN), "x": SEEN, "num_steps": 20, "progress_bar": False}
    found = fit(curve, method=method, **how)
    plain = fit(curve, method=Modes(num_members=3, optim=0.05), **how)
    wide = lambda f: float(np.asarray(f.params["h_auto_loc"]).std(0).mean())
    assert wide(found) > wide(plain)


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(ValueError, match="`kernel`"):
        repulsive("matern")
    with pytest.raises(ValueError, match="`function` and `rows` must be given"):
        repulsive(space="functions")
    with pytest.raises(ValueError, match="`rows` must be left out"):
        repulsive(rows=GRID)
    with pytest.raises(ValueError, match="at least two members"):
        EnsembleSVI(curve, AutoDelta, optax.sgd(0.1), num_members=1, repulsion=repulsive())
    named = repulsive(space="functions", function="f", rows=GRID)
    with pytest.raises(ValueError, match="EnsembleMAP takes a function"):
        EnsembleMAP(log_joint, jax.random.normal, optax.sgd(0.1), 4, repulsion=named)
    with pytest.raises(TypeError, match="`repulsion` must be what `repulsive` gives"):
        Modes(repulsion="rbf")
