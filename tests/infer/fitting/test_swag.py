"""Moments of iterates, against those of gradient descent by hand."""

import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest

from numpyro_bayeslayers.infer import SWAG, EarlyStopping, Modes, fit, load

pytestmark = pytest.mark.usefixtures("as_users_run")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 2))
Y = X @ np.array([1.0, -0.5]) + 0.5 * RNG.normal(size=10)
START, RATE = np.array([[2.0, 2.0], [-1.0, 0.5]]), 0.012


def line(x, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(x @ w, 0.5), obs=y)


METHOD = SWAG(base=Modes(num_members=2, optim=optax.sgd(RATE)), rank=3, start=0.25, every=2)


@pytest.fixture(scope="module")
def found():
    return fit(
        line, y=Y, x=X, method=METHOD, num_steps=20, init={"w": START}, progress_bar=False
    )


def iterates(at):
    """Those after the steps 7, 9, ..., 19."""
    out = []
    for step in range(1, 21):
        at = at - RATE * (X.T @ (X @ at - Y) / 0.25 + at)
        if step > 5 and (step - 5) % 2 == 0:
            out.append(at)
    return np.array(out)


def test_moments_are_those_of_the_iterates(found):
    for e, start in enumerate(START):
        path = iterates(start)
        means = np.cumsum(path, 0) / np.arange(1, len(path) + 1)[:, None]
        assert len(path) == found.params["auto_num_iterates"][e] == 7
        np.testing.assert_allclose(found.params["auto_loc"][e], path.mean(0), rtol=1e-5)
        np.testing.assert_allclose(found.params["auto_scale"][e], path.std(0), rtol=1e-4)
        # The fifth to the seventh, in turn: the last is in the first place.
        last = (path - means)[[6, 4, 5]]
        np.testing.assert_allclose(
            found.params["auto_deviations"][e], last, rtol=1e-4, atol=1e-6
        )


def test_draws_have_half_of_each_covariance(found):
    """Of 4,000 draws: entries of the covariance within 6 of their standard errors."""
    w = np.asarray(found.draws(num_samples=4000)["w"], float)
    for e, start in enumerate(START):
        path = iterates(start)
        means = np.cumsum(path, 0) / np.arange(1, 8)[:, None]
        rows = (path - means)[-3:]
        cov = 0.5 * np.diag(path.var(0)) + 0.5 * rows.T @ rows / 2
        root = np.sqrt(np.diag(cov))
        assert (abs(w[e].mean(0) - path.mean(0)) < 6 * root / np.sqrt(4000)).all()
        off = np.abs(np.cov(w[e].T) - cov) / np.outer(root, root)
        assert (off < 6 * np.sqrt(2 / 4000)).all()


def test_a_file_of_them(found, tmp_path):
    found.save(tmp_path / "swag.fit")
    again = load(tmp_path / "swag.fit", line)
    assert (again.method.rank, again.method.base.num_members) == (3, 2)
    got, right = (f.predict(x=X, num_samples=4).samples for f in (again, found))
    assert np.asarray(got).tobytes() == np.asarray(right).tobytes()
    with pytest.raises(ValueError, match=r"`method\.optim` was not stored"):
        fit(line, y=Y, x=X, method=again.method, num_steps=20, progress_bar=False)


def test_diagnostics(found):
    assert found.diagnostics().pareto_k.shape == (2,)
    assert found.losses.shape == (2, 20)


def test_errors():
    with pytest.raises(ValueError, match="`every` must leave at least two iterates, got 1"):
        fit(line, y=Y, x=X, method=SWAG(), num_steps=20, progress_bar=False)
    how = {"num_steps": 20, "validation": 0.2, "progress_bar": False}
    with pytest.raises(ValueError, match="`early_stopping` must be left out"):
        fit(line, y=Y, x=X, method=SWAG(), early_stopping=EarlyStopping(), **how)
    with pytest.raises(TypeError, match="`base`"):
        SWAG(base="modes")
    for wrong in ({"rank": 1}, {"start": 1.0}, {"every": 0}):
        with pytest.raises(ValueError, match=f"`{next(iter(wrong))}`"):
            SWAG(**wrong)
