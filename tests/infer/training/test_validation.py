"""Scores of held-out rows, and stopping by them, against scores that are computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import Predictive, init_to_sample, log_likelihood
from numpyro.infer.autoguide import AutoDelta, AutoNormal
from sklearn.datasets import load_breast_cancer

from numpyro_bayeslayers.handlers import temper
from numpyro_bayeslayers.infer import EarlyStopping, EnsembleSVI
from numpyro_bayeslayers.infer.training import _validation
from numpyro_bayeslayers.infer.training._held_out import _FIRST
from numpyro_bayeslayers.infer.training._validation import Held, share_of_rows
from numpyro_bayeslayers.layers import DenseReparameterization
from tests.infer.svi_problems import X, Y, model

pytestmark = pytest.mark.usefixtures("as_users_run")

QUIET = {"progress_bar": False}
NEW = {"x": X[:5] + 0.5, "y": Y[:5]}
OTHER = X + 1
OTHER_NEW = {"x": X[:5] - 0.5, "y": Y[:5]}


def by_hand(ensemble, result, key, draws, members):
    """The scores by NumPyro's own functions, at draws of the same keys.

    Each draw has a key of its own for the guide, which is NumPyro's guide run alone.
    """
    keys = jax.random.split(jax.random.fold_in(key, _FIRST), (members, draws))
    scores = []
    guide = ensemble._programs.latest.member.guide
    for e in range(members):
        params = {name: x[e] for name, x in result.params.items()}
        logs = []
        for k in keys[e]:
            key_guide, _ = jax.random.split(k)
            run = numpyro.handlers.substitute(
                numpyro.handlers.seed(guide, key_guide), params
            )
            sites = numpyro.handlers.trace(run).get_trace(X, Y)
            latents = {n: sites[n]["value"][None] for n in ("w", "spread")}
            logs.append(log_likelihood(model, latents, NEW["x"], NEW["y"])["y"][0])
        scores.append((jax.nn.logsumexp(jnp.stack(logs), 0) - np.log(draws)).mean())
    return np.array(scores)


def test_the_score_is_the_log_predictive_density_of_the_same_draws():
    ensemble = EnsembleSVI(model, AutoNormal, optax.adam(0.05), num_members=2)
    result = ensemble.run(3, 10, X, Y, validation=NEW, **QUIET)
    found = result.validation
    np.testing.assert_array_equal(found.steps, np.arange(11))
    assert found.log_density.shape == (2, 11)
    expected = by_hand(ensemble, result, jax.random.key(3), _validation.NUM_DRAWS, 2)
    np.testing.assert_allclose(found.log_density[:, -1], expected, rtol=1e-4)


def test_a_run_with_held_out_rows_is_the_run_without():
    """Looks change nothing of what is trained, and need not be seen."""
    ensemble = EnsembleSVI(model, AutoNormal, optax.adam(0.05), num_members=2)
    plain = ensemble.run(0, 30, X, Y, batch_size=5, **QUIET)
    seen = ensemble.run(0, 30, X, Y, batch_size=5, validation=(X[:3], Y[:3]), **QUIET)
    np.testing.assert_array_equal(seen.losses, plain.losses)
    assert plain.validation is None


def test_a_share_is_neither_fitted_nor_lost():
    """The run is that of the other rows, and the score that of the rows left out."""
    key = jax.random.key(5)
    is_held = share_of_rows(0.25, len(Y), key)
    assert is_held.sum() == 3
    make = lambda: EnsembleSVI(model, AutoDelta, optax.adam(0.05), num_members=1)
    shared = make().run(key, 5, X, Y, validation=0.25, **QUIET)
    rest = {"x": X[is_held], "y": Y[is_held]}
    apart = make().run(key, 5, X[~is_held], Y[~is_held], validation=rest, **QUIET)
    np.testing.assert_array_equal(shared.losses, apart.losses)
    np.testing.assert_allclose(
        shared.validation.log_density, apart.validation.log_density, rtol=1e-6
    )


def test_stopping_keeps_each_members_best_look():
    """Held-out rows that contradict the others: each member is best at a step of its own."""
    ensemble = EnsembleSVI(model, AutoDelta, optax.adam(0.02), num_members=4)
    other = {"x": X, "y": 0.5 * Y}
    rule = EarlyStopping(patience=40, on="validation")
    away = np.array([[0.0], [0.3], [1.5], [2.5]]) * np.array([1.0, -1.0])
    at = {"w": away, "spread": 0.5}
    asked = {"validation": other, "early_stopping": rule, "init": at, **QUIET}
    found = ensemble.run(1, 400, X, Y, **asked)
    scores, steps = found.validation.log_density, found.validation.steps
    best = scores.argmax(1)
    assert len(set(best)) > 1 and found.losses.shape[1] < 400
    # The parameters are those of that step: the same run, ended there.
    for e in range(4):
        again = ensemble.run(1, max(int(steps[best[e]]), 1), X, Y, init=at, **QUIET)
        np.testing.assert_allclose(
            found.params["w_auto_loc"][e], again.params["w_auto_loc"][e], rtol=1e-5
        )
        values = {
            "w": found.params["w_auto_loc"][e],
            "spread": found.params["spread_auto_loc"][e],
        }
        lead = {n: x[None] for n, x in values.items()}
        score = log_likelihood(model, lead, other["x"], other["y"])["y"].mean()
        np.testing.assert_allclose(score, scores[e, best[e]], rtol=1e-5)
    # A member that has stopped stays where it was.
    after = steps >= steps[best][:, None] + rule.patience
    for e in range(4):
        assert len(np.unique(scores[e][after[e]])) <= 1


def test_looks_cost_little_by_rule():
    """A tenth of the steps' rows, between 20 and 200 looks, and five in the patience."""
    held = Held(None, (), rows=300, draws=20, identity={})
    assert held.period(1000, 2000, None) == 10
    assert held.period(1000, 100, None) == 50  # a look costs 60 steps' rows and more
    assert held.period(1000, 10**9, None) == 5
    assert held.period(1000, 100, 30) == 6
    assert held.period(3, 100, 500) == 1


def test_all_looks_have_one_program_and_loops_are_shared(compiled):
    """One program more than without; a second run, and another patience, compile nothing."""
    ensemble = EnsembleSVI(model, AutoNormal, optax.adam(0.05), num_members=2)
    ensemble.run(0, 30, X, Y, **QUIET)
    before = len(compiled)
    ensemble.run(0, 30, X, Y, validation=NEW, **QUIET)
    assert len(compiled) == before + 1
    ensemble.run(4, 30, OTHER, Y, validation=OTHER_NEW, **QUIET)
    assert len(compiled) == before + 1
    rule = EarlyStopping(patience=20, on="validation")
    ensemble.run(0, 30, X, Y, validation=NEW, early_stopping=rule, **QUIET)
    before = len(compiled)
    rule = EarlyStopping(patience=30, min_delta=0.1, on="validation")
    ensemble.run(0, 30, X, Y, validation=NEW, early_stopping=rule, **QUIET)
    assert len(compiled) == before


def test_a_share_of_rows():
    assert share_of_rows(0.001, 10, jax.random.key(0)).sum() == 1
    first = share_of_rows(0.5, 10, jax.random.key(0))
    np.testing.assert_array_equal(first, share_of_rows(0.5, 10, jax.random.key(0)))
    assert (first != share_of_rows(0.5, 10, jax.random.key(1))).any()
    may_be = np.arange(10) < 4
    assert not share_of_rows(0.3, 10, jax.random.key(0), may_be)[4:].any()
    with pytest.raises(
        ValueError, match=r"must leave rows to fit: 0\.99 of 10 rows are 10"
    ):
        share_of_rows(0.99, 10, jax.random.key(0))
    with pytest.raises(ValueError, match="`validation` must be above 0 and below 1, got 2"):
        share_of_rows(2, 10, jax.random.key(0))


def grouped(x, y=None):
    """A value for each row, which rows that are held out draw anew."""
    with numpyro.plate("rows", len(x)):
        z = numpyro.sample("z", dist.Normal(0.0, 2.0))
        numpyro.sample("y", dist.Normal(z, 1.0), obs=y)


def test_values_of_rows_are_drawn_anew():
    """The score is that of Normal(0, sqrt(5)), to 5% of its Monte Carlo error's 4 sigma."""
    y = np.linspace(-3.0, 3.0, 2000)
    ensemble = EnsembleSVI(grouped, AutoNormal, optax.adam(0.05), num_members=1)
    new = {"x": y, "y": y}
    found = ensemble.run(0, 2, np.zeros(4), np.full(4, 9.0), validation=new, **QUIET)
    exact = np.asarray(dist.Normal(0.0, np.sqrt(5.0)).log_prob(y))
    # Log means of 20 draws lie below by about half their relative variance over 20.
    np.testing.assert_allclose(found.validation.log_density[0], exact.mean(), atol=0.15)


def test_refuses():
    ensemble = EnsembleSVI(model, AutoDelta, optax.adam(0.05), num_members=1)
    run = lambda **more: ensemble.run(0, 3, X, Y, **more, **QUIET)
    with pytest.raises(
        ValueError, match="`early_stopping` uses the validation score, but no rows"
    ):
        run(early_stopping=EarlyStopping(on="validation"))
    with pytest.raises(ValueError, match="`validation` must have 'y' too"):
        run(validation={"x": X})
    with pytest.raises(
        ValueError, match=r"`validation` must be one of \['x', 'y'\], got 'z'"
    ):
        run(validation={"x": X, "z": Y})
    with pytest.raises(TypeError, match=r"must be a fraction of the rows.*got 'some'"):
        run(validation="some")
    with pytest.raises(ValueError, match="must have the 2 positional arguments"):
        run(validation=(X,))
    with pytest.raises(ValueError, match=r"must be one of .*'loss', 'validation'"):
        run(early_stopping=EarlyStopping(on="valdation"))


def summed(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1))
    numpyro.factor("y", -0.5 * jnp.sum((y - w * x[:, 0]) ** 2))


def lagged(x, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1))
    before = jnp.concatenate([jnp.zeros(1), x[:-1, 0]])
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(w * before, 1.0), obs=y)


def test_refuses_models():
    run = lambda m, v: EnsembleSVI(m, AutoDelta, optax.adam(0.05), num_members=1).run(
        0, 3, X, Y, validation=v, **QUIET
    )
    with pytest.raises(ValueError, match="needs observations with one entry per row"):
        run(summed, NEW)
    with pytest.raises(ValueError, match="A fraction of the rows cannot be held out: rows"):
        run(lagged, 0.3)
    assert run(lagged, NEW).validation.log_density.shape == (1, 4)


def test_the_whole_of_predictive_agrees():
    """By another route: NumPyro's Predictive on the plated model, to Monte Carlo error.

    20 draws of a guide that is narrow: 0.02 is over four standard errors.
    """
    ensemble = EnsembleSVI(model, AutoNormal, optax.adam(0.05), num_members=2)
    result = ensemble.run(3, 300, X, Y, validation=NEW, **QUIET)
    draw = Predictive(ensemble.guide, params=result.params, num_samples=400)
    latents = draw(jax.random.key(1), X, Y)
    logs = log_likelihood(ensemble.model, latents, NEW["x"], NEW["y"])["y"]
    exact = (jax.nn.logsumexp(logs.reshape(400, 2, 5), 0) - np.log(400)).mean(1)
    np.testing.assert_allclose(
        result.validation.log_density[:, -1], exact, atol=0.3, rtol=0.1
    )


def network(x, y=None):
    h = jax.nn.relu(DenseReparameterization(30, 50, prior_scale="fan_in", name="a")(x))
    f = DenseReparameterization(50, 1, prior_scale="fan_in", name="b")(h)[:, 0]
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Bernoulli(logits=f), obs=y)


def test_a_network_stops_before_it_learns_its_rows_by_heart():
    """Tumors of Wisconsin: at most 0.09 nats a row, where 3,000 steps end at 0.15."""
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = ((x - x.mean(0)) / x.std(0))[order], y[order]
    weak = temper(network, 1e-3)
    guide = AutoDelta(weak, init_loc_fn=init_to_sample)
    ensemble = EnsembleSVI(weak, guide, optax.adam(5e-3), num_members=4)
    found = ensemble.run(
        0,
        3000,
        x[:200],
        y[:200],
        validation={"x": x[200:], "y": y[200:]},
        early_stopping=EarlyStopping(patience=100, on="validation"),
        **QUIET,
    )
    assert found.losses.shape[1] < 300
    values = {k.removesuffix("_auto_loc"): v for k, v in found.params.items()}
    new = jnp.asarray(x[200:]), jnp.asarray(y[200:])
    assert (log_likelihood(network, values, *new)["y"].mean(1) >= -0.09).all()
