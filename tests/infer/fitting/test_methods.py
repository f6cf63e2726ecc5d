"""Modes in one call: what they are by closed form, and which of a training they keep."""

import functools

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.stats import norm

from numpyro_bayeslayers.infer import EarlyStopping, Ensemble, Modes, fit, load
from numpyro_bayeslayers.layers import gaussian_link

pytestmark = pytest.mark.usefixtures("as_users_run")

quiet = functools.partial(fit, progress_bar=False)
ROWS, NOISE = 30, 0.5
X = np.random.default_rng(0).normal(size=(ROWS, 2))
Y = X @ [1.0, -0.5] + NOISE * np.random.default_rng(1).normal(size=ROWS)


def line(x, y=None):
    beta = numpyro.sample("beta", dist.Normal(0, 1).expand([2]).to_event(1))
    return gaussian_link(x @ beta, y, scale=NOISE)


def folded(x, y=None):
    """A line whose slope is the square of a site: two modes, alike."""
    root = numpyro.sample("root", dist.Normal(0.0, 1.0))
    return gaussian_link(root**2 * x, y, scale=NOISE)


@pytest.fixture(scope="module")
def lines():
    return quiet(line, y=Y, x=X, method=Modes(num_members=3, optim=0.1), num_steps=300)


def test_modes_are_those_of_the_normal_equations(lines):
    """A normal posterior has one mode, its mean, wherever a member starts."""
    right = np.linalg.solve(np.eye(2) + X.T @ X / NOISE**2, X.T @ Y / NOISE**2)
    draws = lines.draws(num_samples=1)["beta"]
    np.testing.assert_allclose(draws[:, 0], np.tile(right, (3, 1)), atol=1e-4)
    np.testing.assert_allclose(lines.expected(x=X[:4]).mean, X[:4] @ right, atol=1e-4)


def test_modes_start_apart_and_predict_as_a_mixture():
    """All of six members start on one side in 1 of 32 seeds; this one is among the others."""
    x = np.linspace(-1, 1, 20)
    how = {"method": Modes(num_members=6, optim=0.1), "num_steps": 200}
    found = quiet(folded, y=2 * x, x=x, seed=1, **how)
    root = np.asarray(found.params["root_auto_loc"])
    assert (root > 0).any() and (root < 0).any()
    np.testing.assert_allclose(np.abs(root), np.abs(root[0]), rtol=1e-3)
    assert found.diagnostics().advice == ()


def test_held_out_rows_choose_what_is_kept():
    """Of 40 columns for 30 rows, the last parameters are not those that predict best."""
    wide = np.random.default_rng(2).normal(size=(ROWS, 40))

    def many(x, y=None):
        beta = numpyro.sample("beta", dist.Normal(0, 3).expand([40]).to_event(1))
        return gaussian_link(x @ beta, y, scale=NOISE)

    held = {"x": wide[20:], "y": wide[20:, 0]}
    rule = EarlyStopping(patience=100, on="validation")
    how = {"num_steps": 400, "validation": held, "early_stopping": rule}
    given = {"y": wide[:20, 0], "x": wide[:20], "method": Modes(num_members=2, optim=0.05)}
    found = quiet(many, **given, **how)
    beta = np.asarray(found.draws(num_samples=1)["beta"])[:, 0]
    scores = norm.logpdf(held["y"], beta @ held["x"].T, NOISE).mean(1)
    best = found.validation.log_density.max(1)
    np.testing.assert_allclose(scores, best, rtol=1e-4)
    assert (found.validation.log_density[:, 0] < best).all()


def test_a_file_of_modes(lines, tmp_path):
    """What was saved is read as modes, and predicts the same to the last bit."""
    lines.save(tmp_path / "modes.fit")
    again = load(tmp_path / "modes.fit", line)
    assert again.method == lines.method
    got, right = (f.predict(x=X, num_samples=6).samples for f in (again, lines))
    assert (np.asarray(got) == np.asarray(right)).all()


def test_modes_have_no_guide():
    with pytest.raises(TypeError, match="guide"):
        Modes(guide="normal")
    with pytest.raises(ValueError, match="`num_members`"):
        Modes(num_members=0)
    assert isinstance(Modes(), Ensemble)
