"""One thread at a time runs models, whichever of the public calls runs them."""

import itertools
import threading
import time

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import NUTS
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers._threads import ALONE
from numpyro_bayeslayers.infer import (
    MCMC,
    VI,
    Ensemble,
    EnsembleMAP,
    EnsembleMCMC,
    EnsembleSVI,
    Laplace,
    describe,
    ensemble_predict,
    fit,
    layer_effects,
    log_joint_of,
    prior,
)
from numpyro_bayeslayers.layers import AdaptiveLayer
from numpyro_bayeslayers.plots import plot_prior

X = np.random.default_rng(0).normal(size=(12, 2)).astype("f4")
Y = X.sum(1)


class StoppedError(Exception):
    """The model ran, and that is all that was to be seen."""


class Watched:
    """A model that notes who holds the lock when it runs, and may stop there."""

    def __init__(self):
        self.held = []
        self.stops = False

    def __call__(self, x, y=None):
        self.held.append(ALONE._is_owned())
        if self.stops:
            raise StoppedError
        f = AdaptiveLayer()("f", x)[:, 0]
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Normal(f, 1.0), obs=y)


def _after_fit(call):
    def run(model):
        found = fit(model, y=Y, x=X, num_steps=2, progress_bar=False)
        model.stops = True
        call(found)

    return run


def _after_init(call):
    def run(model):
        members = EnsembleSVI(model, AutoNormal, optax.sgd(0.1), num_members=2)
        state = members.init(0, X, Y)
        model.stops = True
        call(members, state)

    return run


def _at_once(call):
    def run(model):
        model.stops = True
        call(model)

    return run


def _log_joint(part):
    def run(model):
        init_fn, log_joint = log_joint_of(model, X, Y)
        model.stops = True
        if part == "init":
            init_fn(jax.random.key(0))
        log_joint({}, X, Y)

    return run


def _predict_members(model):
    model.stops = True
    ensemble_predict({"w": np.ones((2, 1), "f4")}, lambda params, x: model(x), X)


def _mcmc(model):
    members = EnsembleMCMC(NUTS(model), num_warmup=1, num_samples=1, num_members=2)
    model.stops = True
    members.run(0, X, Y, progress_bar=False)


def _map(model):
    init_fn, log_joint = log_joint_of(model, X, Y)
    members = EnsembleMAP(log_joint, init_fn, optax.sgd(0.1), 2)
    model.stops = True
    members.run(0, 1, X, Y, progress_bar=False)


SVI_OF = lambda model: EnsembleSVI(model, AutoNormal, optax.sgd(0.1), num_members=2)
CALLS = {
    "fit": _at_once(lambda model: fit(model, y=Y, x=X, num_steps=1, progress_bar=False)),
    "prior": _at_once(lambda model: prior(model, y=Y, x=X)),
    "describe": _at_once(lambda model: describe(model, X, Y)),
    "layer_effects": _at_once(
        lambda model: layer_effects(model, {"f.beta": np.ones((1, 2, 1))}, X)
    ),
    "plot_prior": _at_once(lambda model: plot_prior(model, X[:, :1])),
    "EnsembleSVI.init": _at_once(lambda model: SVI_OF(model).init(0, X, Y)),
    "EnsembleSVI.run": _at_once(
        lambda model: SVI_OF(model).run(0, 1, X, Y, progress_bar=False)
    ),
    "EnsembleSVI.run_batches": _at_once(
        lambda model: SVI_OF(model).run_batches(
            0, [(X, Y)], num_rows=12, progress_bar=False
        )
    ),
    "EnsembleSVI.update": _after_init(lambda members, state: members.update(state, X, Y)),
    "EnsembleMCMC.run": _mcmc,
    "EnsembleMAP.run": _map,
    "log_joint_of.init": _log_joint("init"),
    "log_joint_of": _log_joint("log_joint"),
    "ensemble_predict": _predict_members,
}


@pytest.mark.parametrize("name", CALLS)
def test_a_model_runs_while_the_lock_is_held(name, in_memory):
    model = Watched()
    with pytest.raises(StoppedError):
        CALLS[name](model)
    assert model.held
    assert all(model.held)


def test_models_of_a_fit_run_while_the_lock_is_held():
    """What a fit is asked for later runs its model again, of other rows or for other sites."""
    model = Watched()
    found = fit(model, y=Y, x=X, num_steps=2, progress_bar=False)
    counts = [len(model.held)]
    for call in (
        lambda: found.predict(x=X[:3], num_samples=2),
        lambda: found.log_density(y=Y[:3], x=X[:3], num_samples=2),
    ):
        call()
        counts.append(len(model.held))
    assert (np.diff(counts) > 0).all()
    assert all(model.held)


def test_threads_at_once_have_the_numbers_of_one():
    def model(x, y):
        w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
        time.sleep(0.02)  # another thread has its turn while this one is in the model
        numpyro.sample("y", dist.Normal(x @ w, 1.0).to_event(1), obs=y)

    _, log_joint = log_joint_of(model, X, Y)
    values = {"w": np.ones(2, "f4")}
    log_likelihood = lambda rows: float(log_joint(values, X[:rows], Y[:rows])[0])
    found = {}
    run = lambda rows: found.update({rows: log_likelihood(rows)})
    threads = [threading.Thread(target=run, args=(rows,)) for rows in (10, 11, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each observation is met exactly.
    assert found == {n: pytest.approx(-n * np.log(2 * np.pi) / 2) for n in (10, 11, 12)}


def _numbers_of(method, seed, **more):
    def run():
        found = fit(
            Watched(), y=Y, x=X, method=method, seed=seed, progress_bar=False, **more
        )
        return dict(found.draws(num_samples=2)), found.predict(x=X, num_samples=2).mean

    return run


def _numbers_of_svi():
    return SVI_OF(Watched()).run(0, 3, X, Y, progress_bar=False).params


CHAINS = {"num_warmup": 2, "num_samples": 2, "num_chains": 1}
FITS = {
    "VI": _numbers_of(VI(), 0, num_steps=3),
    "VI of another seed": _numbers_of(VI(), 1, num_steps=3),
    "Ensemble": _numbers_of(Ensemble(num_members=2), 0, num_steps=3),
    "Laplace": _numbers_of(Laplace(), 0, num_steps=3),
    "MCMC": _numbers_of(MCMC(**CHAINS), 0),
    "EnsembleSVI": _numbers_of_svi,
}


@pytest.mark.slow
def test_two_fits_at_once_have_the_numbers_of_each_alone():
    """All pairs, each also with itself."""
    alone = {name: run() for name, run in FITS.items()}
    for pair in itertools.combinations_with_replacement(FITS, 2):
        gate, found = threading.Barrier(2), [None, None]

        def run(place, name, gate=gate, found=found):
            gate.wait()
            found[place] = FITS[name]()

        threads = [threading.Thread(target=run, args=one) for one in enumerate(pair)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name, numbers in zip(pair, found, strict=True):
            assert numbers is not None, (pair, name)
            jax.tree.map(np.testing.assert_array_equal, numbers, alone[name])
