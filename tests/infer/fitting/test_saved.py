"""Fits in files: the same numbers in another process, and what is no longer the same is said."""

import functools
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import TraceMeanField_ELBO, init_to_value
from numpyro.infer.autoguide import AutoLaplaceApproximation, AutoNormal
from numpyro.primitives import mutable
from safetensors.numpy import load_file

from numpyro_bayeslayers._storage import read_file
from numpyro_bayeslayers.infer import MCMC, VI, Ensemble, Stein, fit, load
from numpyro_bayeslayers.infer.fitting._saved import KIND
from tests.quick import mostly_slow

from .saved_models import flat, given, model, numbers, table

pytestmark = pytest.mark.usefixtures("as_users_run")

quiet = functools.partial(fit, progress_bar=False)

METHODS = {
    "vi": {"method": VI(optim=optax.adam(0.05)), "num_steps": 20},
    "mcmc": {"method": MCMC(num_warmup=5, num_samples=10, num_chains=2)},
    "ensemble": {"method": Ensemble(num_members=2), "num_steps": 9, "batch_size": 10},
    "stein": {"method": Stein(num_particles=3), "num_steps": 5},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A fit by each method, and its file."""
    folder = tmp_path_factory.mktemp("kept")
    found = {name: quiet(model, **given(), **how) for name, how in METHODS.items()}
    for name, one in found.items():
        one.save(folder / name)
    return folder, found


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A fit that is quickly made, and its file."""
    path = tmp_path_factory.mktemp("small") / "fit"
    found = quiet(flat, **plain_rows(), num_steps=3)
    found.save(path)
    return path, found


def plain_rows():
    x = np.random.default_rng(0).normal(size=(20, 2))
    return {"x": x, "y": x @ [1.0, -1.0]}


@pytest.mark.slow
def test_another_process_gives_the_same_numbers(kept):
    """To the last bit."""
    folder, found = kept
    paths = [str(folder / name) for name in found]
    code = [sys.executable, "-m", "tests.infer.fitting.saved_models", *paths]
    done = subprocess.run(
        code, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False
    )
    assert done.returncode == 0, done.stderr
    for name, one in found.items():
        there, here = np.load(folder / f"{name}.npz"), numbers(one)
        assert set(there) == set(here)
        for key, value in here.items():
            assert there[key].dtype == value.dtype
            assert there[key].tobytes() == value.tobytes(), (name, key)


@pytest.mark.parametrize("name", METHODS)
def test_a_fit_that_was_read_is_the_fit(kept, name):
    folder, found = kept
    one, again = found[name], load(folder / name, model)
    assert again.levels == one.levels == {"town": ("bern", "oslo", "rome")}
    assert type(again.method) is type(one.method)
    assert again.params.keys() == one.params.keys()
    twins = zip(jax.tree.leaves(again.params), jax.tree.leaves(one.params), strict=True)
    assert all(a.tobytes() == b.tobytes() for a, b in twins)
    with pytest.raises(ValueError, match="has the level 'paris'"):
        again.predict(**table(2) | {"town": ["oslo", "paris"]})
    # Saved again it is the same file.
    again.save(folder / f"{name} again")
    files = [read_file(folder / f"{name}{end}", KIND) for end in ("", " again")]
    assert files[0][0] == files[1][0]
    assert files[0][1].keys() == files[1][1].keys()
    assert all(files[0][1][n].tobytes() == x.tobytes() for n, x in files[1][1].items())


def test_the_sampler_can_be_read(kept):
    folder, found = kept
    one, again = found["mcmc"], load(folder / "mcmc", model)
    fields = [f.result.mcmc.get_extra_fields(group_by_chain=True) for f in (one, again)]
    assert fields[0].keys() == fields[1].keys() >= {"diverging"}
    for name in one.result.samples:
        np.testing.assert_array_equal(again.result.samples[name], one.result.samples[name])
    groups = again.to_arviz(), one.to_arviz()
    assert set(groups[0]) == set(groups[1])
    np.testing.assert_array_equal(*(g["sample_stats"]["diverging"] for g in groups))
    with pytest.raises(RuntimeError, match=r"chains were read from a file.* cannot go on"):
        again.result.mcmc.run(jax.random.key(0))


def test_other_programs_can_read_the_arrays(small):
    path, found = small
    arrays = load_file(path)
    for name, value in found.params.items():
        np.testing.assert_array_equal(arrays[f"params['{name}']"], value)
    np.testing.assert_array_equal(arrays["rows/x"], plain_rows()["x"].astype(np.float32))


def test_reading_compiles_no_training(small, compiled):
    """At most the single operations that make arrays of what was read."""
    load(small[0], flat)
    assert len(compiled) < 10
    assert sum(compiled) < 2


def test_options_that_are_no_data_are_named(tmp_path):
    rows = plain_rows()
    start = functools.partial(init_to_value, values={"scale": 0.5, "w": jnp.ones(2)})
    guide = functools.partial(AutoNormal, init_loc_fn=start, init_scale=0.2)
    method = VI(guide=guide, optim=optax.adam(0.1), loss=TraceMeanField_ELBO(3))
    found = quiet(flat, **rows, method=method, num_steps=2)
    found.save(tmp_path / "fit")
    again = load(tmp_path / "fit", flat)
    assert again.method.guide.func is AutoNormal
    assert again.method.guide.keywords["init_scale"] == 0.2
    assert again.method.guide.keywords["init_loc_fn"].func is init_to_value
    assert type(again.method.loss) is TraceMeanField_ELBO
    assert again.method.loss.num_particles == 3
    assert repr(again.method.optim).startswith("<GradientTransformation")
    with pytest.raises(ValueError, match=r"`method.optim` was not stored in the file"):
        quiet(flat, **rows, method=again.method, num_steps=2)


def own_guide(x, y=None):
    loc = numpyro.param("loc", jnp.zeros(2))
    numpyro.sample("w", dist.Normal(loc, 0.1).to_event(1))
    numpyro.sample("scale", dist.LogNormal(numpyro.param("log_scale", 0.0), 0.1))


def wider_guide(x, y=None):
    loc = numpyro.param("loc", jnp.zeros((2, 1)))
    numpyro.sample("w", dist.Normal(loc[:, 0], 0.1).to_event(1))
    numpyro.sample("scale", dist.LogNormal(numpyro.param("log_scale", 0.0), 0.1))


@pytest.mark.parametrize("guide", [own_guide, AutoNormal(flat)], ids=["function", "object"])
@pytest.mark.parametrize("method", mostly_slow([VI, Stein]))
def test_a_guide_of_ones_own_is_given_again(tmp_path, guide, method):
    found = quiet(flat, **plain_rows(), method=method(guide=guide), num_steps=2)
    found.save(tmp_path / "fit")
    kind = type(guide).__name__
    with pytest.raises(ValueError, match=rf"`guide` must be given: .* of type {kind}"):
        load(tmp_path / "fit", flat)
    again = load(tmp_path / "fit", flat, guide=guide)
    samples = [f.predict(x=np.ones((3, 2))).samples for f in (found, again)]
    assert samples[0].tobytes() == samples[1].tobytes()


@pytest.mark.parametrize("guide", [wider_guide, "full_rank"])
def test_another_guide_is_refused(tmp_path, guide):
    found = quiet(flat, **plain_rows(), method=VI(guide=own_guide), num_steps=2)
    found.save(tmp_path / "fit")
    with pytest.raises(ValueError, match="`params` must have the same structure"):
        load(tmp_path / "fit", flat, guide=guide)


def renamed(x, y=None):
    scale = numpyro.sample("noise", dist.HalfNormal(1.0))
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("obs", dist.Normal(x @ w, scale), obs=y)


def wider(x, y=None):
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    w = numpyro.sample("w", dist.Normal(0, 1).expand([3]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("obs", dist.Normal(x @ w[:2], scale), obs=y)


@pytest.mark.parametrize(
    ("other", "how"),
    [
        (renamed, "at 'scale' .*had a latent of shape .*has none"),
        (wider, r"at 'w' .*had a latent of shape \(2,\).*has a latent of shape \(3,\)"),
    ],
)
def test_another_model_is_refused(small, other, how):
    with pytest.raises(ValueError, match=f"`model` is not the one that was fitted: {how}"):
        load(small[0], other)


def with_laws(w, scale=lambda: dist.HalfNormal(1.0), noise=dist.Normal):
    """The model `flat`, with other laws."""

    def model(x, y=None):
        sd = numpyro.sample("scale", scale())
        value = numpyro.sample("w", w(x))
        with numpyro.plate("rows", len(x)):
            numpyro.sample("obs", noise(x @ value, sd), obs=y)

    return model


NORMAL = lambda *numbers: lambda x: dist.Normal(*numbers).expand([2]).to_event(1)


@pytest.mark.parametrize(
    ("other", "how"),
    [
        (
            with_laws(NORMAL(0, 10)),
            r"at 'w' it had the law Normal with `scale` 1, and has 10\.",
        ),
        (
            with_laws(lambda x: dist.Normal(jnp.array([0.0, 0.5]), 1).to_event(1)),
            r"at 'w' it had the law Normal with `loc` 0, and has \(0, 0\.5\)\.",
        ),
        (
            with_laws(lambda x: dist.Normal(x[0], 1).to_event(1)),
            r"at 'w' it had the law Normal with `loc` 0, and has \(.*, .*\)\.",
        ),
        (
            with_laws(lambda x: dist.Laplace(0, 1).expand([2]).to_event(1)),
            "at 'w' it had the law Normal, and has Laplace",
        ),
        (
            with_laws(NORMAL(0, 1), noise=lambda f, sd: dist.StudentT(4.0, f, sd)),
            "at 'obs' it had the law Normal, and has StudentT",
        ),
        (
            with_laws(NORMAL(0, 1), noise=lambda f, sd: dist.Normal(f, 0.3)),
            "at 'obs' it had the law Normal with `scale` that other sites determine, and has 0.3",
        ),
        (
            with_laws(NORMAL(0, 1), scale=lambda: dist.LogNormal(0.0, 1.0)),
            "at 'scale' it had the law HalfNormal, and has LogNormal",
        ),
    ],
)
def test_another_law_is_refused(small, other, how):
    with pytest.raises(ValueError, match=f"`model` is not the one that was fitted: {how}"):
        load(small[0], other)


def test_the_same_law_in_other_words_is_read(small):
    """Broadcast, as an array, and in the digits that another machine may have."""
    same = dist.Normal(np.zeros(2), 1 + 1e-6).to_event(1)
    load(small[0], with_laws(lambda x: same, scale=lambda: dist.HalfNormal(jnp.ones(()))))


def test_the_start_of_a_parameter_is_no_part_of_a_law(tmp_path):
    start = lambda value: with_laws(lambda x: NORMAL(numpyro.param("m", value), 1)(x))
    quiet(start(0.0), **plain_rows(), num_steps=2).save(tmp_path / "fit")
    load(tmp_path / "fit", start(3.0))


def bent(x, fn=None, shift=0.0, y=None):
    w = numpyro.sample("w", dist.Normal(0, 1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("obs", dist.Normal(fn(x) * w + shift, 1.0), obs=y)


def test_constants_that_are_no_data_are_given_again(tmp_path):
    x, path = np.linspace(0, 1, 9), tmp_path / "fit"
    found = quiet(bent, y=x, x=x, fn=jnp.sin, shift=np.float64(0.5), num_steps=2)
    found.save(path)
    with pytest.raises(ValueError, match=r"`constants` must have 'fn'.*constants=\{'fn'"):
        load(path, bent)
    with pytest.raises(ValueError, match="must not have 'shift': the file holds it"):
        load(path, bent, constants={"fn": jnp.sin, "shift": 1.0})
    again = load(path, bent, constants={"fn": jnp.sin})
    samples = [f.predict(x=x).samples for f in (found, again)]
    assert samples[0].tobytes() == samples[1].tobytes()


def running(x, y=None):
    """A prediction subtracts the running mean of the inputs that the steps have seen."""
    kept = mutable("kept", {"mean": jnp.zeros(())})
    middle = kept["mean"] if y is None else x.mean()
    if y is not None:
        kept["mean"] = 0.9 * kept["mean"] + 0.1 * middle
    w = numpyro.sample("w", dist.Normal(0, 1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("obs", dist.Normal(w * (x - middle), 1.0), obs=y)


@pytest.mark.parametrize(
    ("program", "how"),
    [
        (flat, {"missing": "drop"}),
        (flat, {"missing": "impute"}),
        (flat, {"method": VI(guide=AutoLaplaceApproximation, optim=0.1), "num_steps": 99}),
        (running, {"method": Ensemble(num_members=2)}),
    ],
    ids=["drop", "impute", "laplace", "mutable"],
)
def test_what_is_beside_the_parameters_is_read_too(tmp_path, program, how):
    """Gaps, the Hessian at the end, what a model keeps: draws and predictions to the last bit."""
    x = plain_rows()["x"] if program is flat else np.linspace(2.0, 3.0, 20)
    y = plain_rows()["y"] + np.sin(np.arange(20))
    y[3] = np.nan if "missing" in how else y[3]
    found = quiet(program, x=x, y=y, **{"num_steps": 9, **how})
    found.save(tmp_path / "fit")
    again = load(tmp_path / "fit", program)
    samples = [f.predict(x=x + 1, num_samples=8).samples for f in (found, again)]
    assert samples[0].tobytes() == samples[1].tobytes()
    draws = [f.draws(num_samples=4) for f in (found, again)]
    assert draws[0].keys() == draws[1].keys()
    assert ("obs_missing" in draws[0]) == (how.get("missing") == "impute")
    assert all(x.tobytes() == draws[1][n].tobytes() for n, x in draws[0].items())
    if program is running:
        # Where the curve is zero, there is the running mean: on its way from 0 to 2.5.
        first, *_, last = np.asarray(again.expected(x=x, num_samples=8).samples, float).T
        zero = (x[0] * last - x[-1] * first) / (last - first)
        np.testing.assert_allclose(
            zero, 2.5 * (1 - 0.9**9), atol=0.16
        )  # one step more or less


def test_pickling_says_what_to_do(small):
    with pytest.raises(TypeError, match=r"found.save\(path\).*infer.load\(path, model\)"):
        pickle.dumps(small[1])


def test_a_file_that_is_no_fit(tmp_path):
    (tmp_path / "fit").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="was not saved by numpyro_bayeslayers"):
        load(tmp_path / "fit", flat)
    with pytest.raises(ValueError, match="`model` must take the observations as `y`"):
        load(tmp_path / "fit", lambda x: None)
