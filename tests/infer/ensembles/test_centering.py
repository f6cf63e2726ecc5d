"""Coordinates that a short run finds: the share of information, draws, names, programs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.flatten_util import ravel_pytree
from numpyro.infer import NUTS, BarkerMH

from numpyro_bayeslayers.infer import MCMC, EnsembleMCMC, fit, load
from numpyro_bayeslayers.infer.compilation._jit import Frame
from numpyro_bayeslayers.infer.ensembles._centering import (
    Coordinates,
    careful,
    is_scaled,
    is_tried,
    variances,
)
from numpyro_bayeslayers.infer.ensembles._chains import Begun, Fields
from numpyro_bayeslayers.layers import RandomEffectsLayer, gaussian_link

pytestmark = pytest.mark.usefixtures("as_users_run")

quiet = functools.partial(fit, progress_bar=False)
ROWS, NOISE = np.array([1, 4, 60]), 0.5
GROUP = np.repeat(np.arange(3), ROWS)
Y = np.array([-1.0, 0.6, 1.2])[GROUP] + NOISE * np.random.default_rng(0).normal(size=65)


def by_layer(group, y=None, centered=False):
    f = RandomEffectsLayer(centered=centered)("a", group, 3)[..., 0]
    return gaussian_link(f, y, scale=NOISE)


def plain(group, y=None):
    m = numpyro.sample("m", dist.Normal(0, 1))
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    numpyro.sample("fixed", dist.Normal(0.0, 2.0))
    with numpyro.plate("groups", 3):
        theta = numpyro.sample("theta", dist.Normal(m, s))
    return gaussian_link(theta[group], y, scale=NOISE)


VALUES = {"s": 0.3, "m": 0.1, "fixed": 0.0, "theta": jnp.array([0.1, -0.4, 0.7])}
OF_LAYER = {"a.scale": 0.3}
CASES = {
    "plain": (plain, VALUES, "theta"),
    "centered": (
        functools.partial(by_layer, centered=True),
        {**OF_LAYER, "a.theta": jnp.ones((3, 1))},
        "a.theta",
    ),
    "half": (
        functools.partial(by_layer, centered=0.5),
        {**OF_LAYER, "a.theta_base": jnp.ones((3, 1))},
        "a.theta",
    ),
    "non-centered": (by_layer, {**OF_LAYER, "a.theta_base": jnp.ones((3, 1))}, "a.theta"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_share_of_information_in_the_normal_case(case):
    """n rows of noise s_y tell n / s_y^2 of an effect, its population 1 / s^2: exactly."""
    model, values, name = CASES[case]
    rows = {"group": jnp.asarray(GROUP), "y": jnp.asarray(Y, float)}
    coordinates = Coordinates(model, rows)
    assert coordinates.names == (name,)  # and no site whose law depends on no other
    values = jax.tree.map(lambda x: jnp.asarray(x, float), values)
    got = jax.jit(coordinates._shares)(values, rows, jax.random.key(0))[name]
    data = ROWS / NOISE**2
    np.testing.assert_allclose(got.ravel(), data / (data + 1 / 0.3**2), rtol=1e-4)


def test_what_is_uncertain_is_not_centered():
    """Two standard deviations of log odds below their mean, and nothing below 0.3."""
    odds = np.array([[2.0, 4.0], [2.0, 0.0], [1.0, -1.0], [-3.0, -3.0], [50.0, 50.0]])
    left = odds.mean(1) - 2 * odds.std(1)
    right = np.where(left > np.log(0.3 / 0.7), 1 / (1 + np.exp(-left)), 0.0)
    got = careful(jnp.asarray(1 / (1 + np.exp(-odds.T))))
    assert (right[:-1] > 0).tolist() == [True, False, False, False]
    np.testing.assert_allclose(got[:-1], right[:-1], rtol=1e-4)
    assert got[-1] == pytest.approx(0.999)  # no nearer to 1 than is told


def test_what_is_left_as_it_is():
    """Models with discrete sites, kernels without gradients, and short warm-ups."""

    def mixed(group, y=None):
        numpyro.sample("which", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
        return plain(group, y)

    rows = {"group": jnp.asarray(GROUP), "y": jnp.asarray(Y, float)}
    assert not Coordinates(mixed, rows).names
    assert is_tried(EnsembleMCMC(NUTS(plain), 100, 4, 1))
    assert not is_tried(EnsembleMCMC(NUTS(plain), 99, 4, 1))
    assert not is_tried(EnsembleMCMC(BarkerMH(plain), 100, 4, 1))


def begun_chains(**options):
    """Programs of two chains, what they run on, and their state as NumPyro starts it."""
    chains = EnsembleMCMC(NUTS(plain, **options), 100, 2, 2)
    rows = {"group": jnp.asarray(GROUP), "y": jnp.asarray(Y, float)}
    frame = Frame(((), rows))
    arrays = frame.arrays(((), rows))
    keys = jax.random.split(jax.random.key(0), 2)
    programs = chains._programs(frame, Fields.of(chains.kernel, ()), arrays)
    on = keys, None, arrays
    return programs, on, programs._start(*on)


def test_the_warm_up_goes_on_from_a_trial():
    """The trial's steps count, and the step size is searched from its own."""
    programs, on, state = begun_chains()
    positions, begun = programs.positions(*on, 8)
    assert positions["theta"].shape == (4, 2, 3)
    # Of 100 steps, 15 are before the scales are learned.
    assert begun.steps == 11 and begun.step_size.shape == (2,)
    state = begun.go_on(state)
    assert state.i.tolist() == [11, 11]
    np.testing.assert_allclose(state.adapt_state.step_size, begun.step_size)
    centers = state.adapt_state.ss_state[-1]
    np.testing.assert_allclose(centers, np.log(10 * begun.step_size), rtol=1e-5)
    _, last = programs.run(*on, False, begun)
    assert last.i.tolist() == [102, 102]


def test_the_warm_up_begins_with_the_variances_of_a_trial():
    """In the order of NumPyro's blocks, dense and diagonal; the step size is searched anew."""
    _, _, state = begun_chains(dense_mass=[("theta", "m")])
    given = {
        "theta": np.array([4.0, 9.0, 16.0]),
        **{n: np.array(x) for n, x in (("m", 0.25), ("s", 1e-8), ("fixed", 1e4))},
    }
    got = Begun(5, 0.8, None, given).go_on(state).adapt_state
    assert sorted(x.ndim for x in got.inverse_mass_matrix.values()) == [2, 3]
    for block, inverse in got.inverse_mass_matrix.items():
        # In the order of the momenta: that of a tuple of the sites' values.
        right, _ = ravel_pytree(tuple(jnp.asarray(given[name], float) for name in block))
        roots = got.mass_matrix_sqrt[block], got.mass_matrix_sqrt_inv[block]
        for x, power in zip((inverse, *roots), (1.0, -0.5, 0.5), strict=True):
            x = x[1] if x.ndim == 2 else np.diagonal(x[1])
            np.testing.assert_allclose(x, right**power, rtol=1e-5)
    assert got.step_size.tolist() == state.adapt_state.step_size.tolist()
    shapes = functools.partial(jax.tree.map, lambda x: (x.shape, x.dtype))
    assert shapes(got._asdict()) == shapes(state.adapt_state._asdict())


def test_variances_from_few_draws():
    """Exact for independent normals, whatever the draws and where the chains are; else 1."""
    rng = np.random.default_rng(0)
    right = np.array([1e-6, 0.3, 2e5])
    draws = rng.normal(size=(4, 2, 3)) + np.array([[0.0], [5.0]])
    got = variances(jnp.asarray(draws), jnp.asarray((draws - 1.0) / right))
    np.testing.assert_allclose(got, right, rtol=1e-3)
    still = jnp.ones((4, 2, 3))
    assert variances(still, still).tolist() == [1.0] * 3


def test_the_choice_has_variances_of_its_coordinates():
    """Of a site that depends on no other and of no data: 4, those of its normal prior."""
    rows = {"group": jnp.asarray(GROUP), "y": jnp.asarray(Y, float)}
    coordinates = Coordinates(plain, rows)
    rng = np.random.default_rng(0)
    at = {n: rng.normal(size=(3, 2, *np.shape(x))) for n, x in VALUES.items()}
    at["theta_recentered"] = at.pop("theta")
    at = jax.tree.map(jnp.asarray, at)
    how = coordinates.at(0.5), rows
    _, last, scales = coordinates.choose(jax.random.key(0), at, *how)
    np.testing.assert_allclose(last["fixed"], at["fixed"][-1], rtol=1e-6)
    assert {n: x.shape for n, x in scales.items()} == {
        n: x.shape[2:] for n, x in at.items()
    }
    np.testing.assert_allclose(scales["fixed"], 4.0, rtol=1e-4)


def test_scales_are_those_of_the_kernel_where_it_has_some():
    """Nothing is set for a kernel that learns no mass matrix, or begins with one."""
    assert is_scaled(NUTS(plain))
    assert not is_scaled(NUTS(plain, adapt_mass_matrix=False))
    assert not is_scaled(NUTS(plain, inverse_mass_matrix=jnp.ones(6)))


def test_positions_move_into_other_coordinates_and_back():
    """A start is the same point of the model, whatever the coordinates it is written in."""
    model, values, name = CASES["half"]
    rows = {"group": jnp.asarray(GROUP), "y": jnp.asarray(Y, float)}
    coordinates = Coordinates(model, rows)
    led = jax.tree.map(lambda x: jnp.stack([x, 2 * jnp.asarray(x)]), values)
    moved = coordinates.start_of(led, {name: jnp.full((3, 1), 1.0)}, rows)
    scale = led["a.scale"][:, None, None]
    right = scale**0.5 * led["a.theta_base"]
    np.testing.assert_allclose(moved[f"{name}_recentered"], right, rtol=1e-5)
    assert set(moved) == {"a.scale", f"{name}_recentered"}


def exact(group, y):
    """The posterior of the effects by quadrature over their scale."""
    scales = np.linspace(1e-3, 4.0, 2000)
    size, mean = np.bincount(group), np.bincount(group, y) / np.bincount(group)
    own = NOISE**2 / size
    var = scales[:, None] ** 2 + own
    logs = -0.5 * scales**2 - 0.5 * (np.log(var) + mean**2 / var).sum(1)
    weight = np.exp(logs - logs.max())
    shrunk = scales[:, None] ** 2 / var * mean
    return (weight[:, None] * shrunk).sum(0) / weight.sum(), (
        weight * scales
    ).sum() / weight.sum()


@pytest.fixture(scope="module")
def found():
    method = MCMC(num_warmup=200, num_samples=400, num_chains=4)
    return quiet(by_layer, y=Y, group=GROUP, method=method)


def test_the_posterior_is_that_of_the_model(found):
    """Against quadrature; tolerances are six standard errors of 300 effective draws."""
    effects, scale = exact(GROUP, Y)
    draws = found.draws()
    assert set(draws) == {"a.scale", "a.theta"}
    got = np.asarray(draws["a.theta"])
    spread = got.std((0, 1)).ravel()
    error = np.abs(got.mean((0, 1)).ravel() - effects)
    assert (error < 6 * spread / np.sqrt(300)).all()
    values = np.asarray(draws["a.scale"])
    assert abs(values.mean() - scale) < 6 * values.std() / np.sqrt(300)


def test_what_was_chosen_is_told_and_kept(found, tmp_path):
    """Many rows are drawn centered, and more so than few; a file has the numbers too."""
    c = np.asarray(found.diagnostics().centering["a.theta"]).ravel()
    assert c[2] > 0.8 and c[0] < c[1] < c[2]
    assert (
        found.summary().attrs["centering"]["a.theta"] is found.result.centering["a.theta"]
    )
    found.save(tmp_path / "chains.fit")
    again = load(tmp_path / "chains.fit", by_layer)
    np.testing.assert_array_equal(again.diagnostics().centering["a.theta"].ravel(), c)
    assert set(again.draws()) == {"a.scale", "a.theta"}


@pytest.mark.filterwarnings("ignore:.* draws are divergent")  # on some versions of JAX, one
def test_a_second_fit_compiles_nothing(found, compiled):
    """Trials, the choice and the chains are programs of the model and its shapes."""
    before = len(compiled)
    quiet(by_layer, y=Y + 1.0, group=GROUP, method=found.method, seed=3)
    assert len(compiled) == before


def test_numbers_that_are_given():
    """A dictionary is taken as it is; an unknown site is an error of the handler."""
    how = {"num_warmup": 5, "num_samples": 4, "num_chains": 1}
    given = {"y": Y, "group": GROUP}
    found = quiet(plain, **given, method=MCMC(centering={"theta": 0.25}, **how))
    assert float(found.diagnostics().centering["theta"]) == 0.25
    with pytest.raises(ValueError, match="got 'thetta'"):
        quiet(plain, **given, method=MCMC(centering={"thetta": 0.25}, **how))
    for wrong, what in (("best", "`centering` must be one of"), ({"theta": 2.0}, "from 0")):
        with pytest.raises(ValueError, match=what):
            MCMC(centering=wrong)
