"""Programs that `fit` keeps: a fit of a kind seen before compiles nothing, and is the same."""

import functools
import gc
import weakref

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import condition, mask

from numpyro_bayeslayers.infer import MCMC, VI, Ensemble, fit
from numpyro_bayeslayers.infer.fitting import _programs
from numpyro_bayeslayers.infer.fitting._data import bind, data_of_fit
from numpyro_bayeslayers.infer.fitting._programs import PROGRAMS, Kept, program_key
from numpyro_bayeslayers.infer.training._program import Program

pytestmark = pytest.mark.usefixtures("as_users_run")

ROWS = 13
X = np.linspace(-1, 1, ROWS)
NOISE = 0.5
METHODS = {
    "vi": {"method": VI(), "num_steps": 5},
    "ensemble": {
        "method": Ensemble(num_members=2, guide="full_rank"),
        "num_steps": 5,
        "batch_size": 4,
    },
    "mcmc": {"method": MCMC(num_warmup=5, num_samples=10, num_chains=2)},
}


@pytest.fixture(autouse=True)
def nothing_kept():
    PROGRAMS.clear()
    yield
    PROGRAMS.clear()


def made(prior=1.0):
    """A model made anew in each call, as in a loop or in a cell that is run again."""

    def model(x, level=0.0, y=None):
        slope = numpyro.sample("slope", dist.Normal(0.0, prior))
        with numpyro.plate("rows", len(x)):
            return numpyro.sample("y", dist.Normal(level + slope * x, NOISE), obs=y)

    return model


quiet = functools.partial(fit, progress_bar=False)


def answers(found):
    draws, predicted = found.draws(num_samples=4), found.predict(x=X[:3], num_samples=4)
    return [found.losses, found.params, draws, predicted]


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("way", METHODS.values(), ids=METHODS)
def test_a_kind_seen_before_compiles_nothing_and_each_fit_keeps_its_answer(way, compiled):
    """The second fit is of other data, from another seed, of a model that was made anew."""
    one = quiet(made(), y=2 * X, x=X, **way)
    first = answers(one)
    before = len(compiled)
    other = quiet(made(), y=1 - X, x=X + 1, seed=3, **way)
    second = answers(other)
    assert len(compiled) == before
    assert np.any(second[2]["slope"] != first[2]["slope"])
    equal(answers(one), first)

    assert len(PROGRAMS) == 1
    PROGRAMS.clear()  # what is kept changes no number
    equal(answers(quiet(made(), y=1 - X, x=X + 1, seed=3, **way)), second)


def test_another_number_of_steps_compiles_nothing_and_is_that_of_the_optimizer(compiled):
    """The step size still falls to zero over the steps of each fit."""
    quiet(made(), y=2 * X, x=X, num_steps=5)
    before = len(compiled)
    found = quiet(made(), y=2 * X, x=X, num_steps=20)
    assert len(compiled) == before
    optim = optax.adam(optax.cosine_decay_schedule(VI().optim, 20))
    other = quiet(made(), y=2 * X, x=X, num_steps=20, method=VI(optim=optim))
    np.testing.assert_allclose(found.losses, other.losses, rtol=1e-4)


def test_a_fit_that_was_not_asked_before_another_one():
    """A prediction is compiled with what its own fit found."""
    alone = answers(quiet(made(), y=2 * X, x=X, num_steps=5))
    PROGRAMS.clear()
    one = quiet(made(), y=2 * X, x=X, num_steps=5)
    quiet(made(), y=1 - X, x=X, num_steps=5, seed=3)
    quiet(made(), y=1 - X, x=X, num_steps=5, seed=3, batch_size=4)
    equal(answers(one), alone)


def test_what_a_model_reads_is_in_its_programs(monkeypatch):
    """Globals, closures, constants and handlers around: none is mistaken."""
    method = VI(guide="delta")
    call = functools.partial(quiet, y=2 * X, x=X, num_steps=2, method=method)
    usual = np.asarray(call(made()).losses)

    def differs(found):
        return not np.array_equal(found.losses, usual)

    assert differs(call(made(2.0))) and differs(call(made(), level=1.0))
    with mask(mask=False):
        assert differs(call(made()))
    monkeypatch.setitem(globals(), "NOISE", 5.0)
    assert differs(call(made()))
    monkeypatch.undo()
    assert not differs(call(made()))


def key_of(model=None, **data):
    known = data_of_fit(X, data)
    return program_key(known, bind(model or made(), known))


def test_keys_of_models_and_data():
    assert key_of(x=X) == key_of(x=X + 1)
    assert key_of(x=X) != key_of(made(2.0), x=X)
    assert key_of(x=X) != key_of(x=X, level=1.0)
    assert key_of(x=X) != key_of(x=np.arange(ROWS))
    assert key_of(x=X) != key_of(x=X[:, None])
    assert key_of(x=X) != key_of(z=X)


def test_keys_of_settings():
    usual = key_of(x=X)
    assert usual is not None
    with jax.default_matmul_precision("float32"):
        assert key_of(x=X) != usual
    numpyro.enable_validation(not dist.Distribution._validate_args)
    try:
        assert key_of(x=X) != usual
    finally:
        numpyro.enable_validation(not dist.Distribution._validate_args)
    with condition(data={}):
        assert key_of(x=X) is None
    assert key_of(x=X) == usual


class Thing:
    """What is kept, in tests."""


def test_the_longest_unused_ones_go():
    kept, things = Kept(3), {}
    for key in [0, 1, 2, 0, 3, 4, None]:
        with kept.take(key, Thing) as thing:
            assert things.setdefault(key, weakref.ref(thing))() is thing
    del thing
    gc.collect()
    assert len(kept) == 3
    assert {k for k, ref in things.items() if ref() is not None} == {0, 3, 4}


def test_one_that_is_taken_or_has_failed_is_not_given_to_another():
    kept = Kept(3)
    with kept.take(0, Thing) as one, kept.take(0, Thing) as other:
        assert one is not other
    with pytest.raises(RuntimeError), kept.take(0, Thing):
        raise RuntimeError
    assert len(kept) == 0


def test_a_first_fit_compiles_few_programs(compiled):
    """The steps alone: NumPy takes starts, predictions, draws and weights that are small.

    Without the small programs that are compiled once in a process. Checks compile none: of
    outcomes far from the prior, and of minibatches.
    """

    def counted(call):
        before = len(compiled)
        found = call()
        return found, len(compiled) - before

    def all_of_it(prior, **way):
        call = functools.partial(quiet, made(prior), y=2 * X, x=X, num_steps=5, **way)
        found, of_fit = counted(call)
        _, of_prediction = counted(lambda: found.predict(x=X[:3], num_samples=4))
        _, of_summary = counted(lambda: found.summary(num_samples=4))
        return of_fit, of_prediction, of_summary

    for prior, way in ((1.0, {}), (2.0, {}), (3.0, {"batch_size": 4})):
        found = all_of_it(prior, **way)
        assert prior == 1.0 or np.all(np.array(found) <= (1, 0, 0)), found
    far, y = functools.partial(quiet, made(5.0), x=X, num_steps=5), 1e4 * X
    with pytest.warns(UserWarning, match="next to no mass"):
        assert counted(lambda: far(y=y))[1] <= 1


def arrays():
    gc.collect()
    return [x.shape for x in jax.live_arrays()]


@pytest.mark.parametrize("name", ["vi", "mcmc"])
def test_memory(name):
    """Flat over many fits of one model; no data is kept; what is pushed out is freed."""
    call = functools.partial(quiet, y=2 * X, x=X, **METHODS[name])
    call(made())
    before = arrays()
    assert (ROWS,) not in before
    for seed in range(100 if name == "vi" else 5):
        call(made(), seed=seed)
    assert len(arrays()) == len(before)


@pytest.mark.slow
def test_memory_of_many_models():
    """Of 100 models, what the last 16 need is held, in arrays and in objects."""

    def held(prior):
        quiet(made(prior), y=2 * X, x=X, num_steps=2, method=VI(guide="delta"))
        kept = len(arrays())  # collects what is no longer needed
        return sum(isinstance(x, Program) for x in gc.get_objects()), kept

    counts = [held(1.0 + i) for i in range(100)]
    assert len(PROGRAMS) == _programs.MOST
    assert counts[-1] == counts[20]
    assert counts[-1][0] == _programs.MOST


def test_programs_of_a_model_that_is_pushed_out_are_freed(monkeypatch):
    monkeypatch.setattr(_programs.PROGRAMS, "_most", 1)
    call = functools.partial(quiet, y=2 * X, x=X, num_steps=5)
    call(made())
    (old,) = map(weakref.ref, PROGRAMS._kept.values())
    program = weakref.ref(old()._programs.latest)
    call(made(2.0))
    gc.collect()
    assert old() is None and program() is None and len(PROGRAMS) == 1
