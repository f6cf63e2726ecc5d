"""Programs are compiled as dearly as their work justifies, by shapes and repetitions alone."""

import jax
import numpy as np
import optax
import pytest
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import EnsembleSVI
from numpyro_bayeslayers.infer.compilation import _effort
from numpyro_bayeslayers.infer.compilation._effort import effort, once, options
from tests.infer.svi_problems import X, Y, model
from tests.quick import mostly_slow

pytestmark = pytest.mark.usefixtures("as_users_run")

SMALL, LARGE = np.zeros(10), np.zeros((100, 100))


@pytest.fixture(autouse=True)
def no_flags(monkeypatch):
    """As in a process where nobody has chosen."""
    monkeypatch.delenv("XLA_FLAGS", raising=False)


def test_the_rule():
    assert effort(1, 10, SMALL) == 0
    assert effort(5000, 2000, SMALL) == 0
    assert effort(20_000, 2000, SMALL) == 1
    assert effort(100_000, 2000, SMALL, LARGE) is None
    assert effort(1000, 100, LARGE) == 1  # more values, or more rows
    assert effort(1000, 100_000, LARGE) is None


def test_who_has_chosen_is_heeded(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=2")
    assert effort(1, 10, SMALL) is None
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
    assert effort(1, 10, SMALL) == 0


def test_other_devices_and_programs_inside_of_others_have_no_options(monkeypatch):
    assert options(None) is None
    found = []
    jax.jit(lambda x: found.append(effort(1, 10, x)))(SMALL)
    jax.eval_shape(once(lambda x: x + 1), SMALL)
    jax.jit(once(lambda x: x + 1))(SMALL)  # options may not be nested
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert [*found, effort(1, 10, SMALL)] == [None, None]


def test_options_that_are_not_known_are_left_out(monkeypatch):
    monkeypatch.setitem(_effort._SPARING, "xla_no_such_option", False)
    assert "xla_no_such_option" not in options(0)
    jax.jit(lambda x: x + 1, compiler_options=options(0))(SMALL)


@pytest.mark.parametrize("level", mostly_slow([0, 1, None], {0}))
def test_results_of_all_efforts(monkeypatch, level):
    """They are the same to rounding; 20 steps may multiply it by ten."""
    monkeypatch.setattr(_effort, "_MOST", {} if level is None else {level: np.inf})
    fit = EnsembleSVI(model, AutoNormal, optax.adam(0.05), num_members=2)
    found = fit.run(0, 20, X, Y, progress_bar=False)
    state, losses = fit.init(0, X, Y), []
    for _ in range(20):
        state, loss = fit.update(state, X, Y)
        losses.append(loss)
    np.testing.assert_allclose(found.losses, np.stack(losses, 1), rtol=1e-4)
    drawn = fit.predict(1, found, X, num_samples=3)["y"]
    assert drawn.shape == (3, 2, len(X)) and np.isfinite(drawn).all()
