"""Coordinates between non-centered and centered: densities, draws, names, plates, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import scope, seed, substitute, trace
from numpyro.infer.util import log_density
from scipy.stats import norm

from numpyro_bayeslayers.handlers import ensemble, recenter
from numpyro_bayeslayers.infer import autoreparam
from numpyro_bayeslayers.layers import RandomEffectsLayer, RandomWalkLayer

pytestmark = pytest.mark.usefixtures("as_users_run")

C = np.array([0.0, 0.3, 1.0])
INDEX = jnp.arange(3)


def plain():
    m = numpyro.sample("m", dist.Normal(0, 1))
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    with numpyro.plate("groups", 3):
        numpyro.sample("theta", dist.Normal(m, s))


def by_layer(centered):
    def model():
        RandomEffectsLayer(centered=centered, coef_kwargs={"loc": 0.4})("a", INDEX, 3)

    return model


def walk():
    RandomWalkLayer()("a", INDEX, 3)


def sites_of(model, values, *args):
    seeded = seed(substitute(model, data=values), 0)
    return trace(seeded).get_trace(*args)


# The model, the site, its coordinate's event shape, the scale's site, and the location.
CASES = {
    "plate": (plain, "theta", (3,), "s", 0.7),
    "autoreparam": (autoreparam(plain), "theta", (3,), "s", 0.7),
    "layer, non-centered": (by_layer(False), "a.theta", (3, 1), "a.scale", 0.4),
    "layer, half centered": (by_layer(0.5), "a.theta", (3, 1), "a.scale", 0.4),
    "layer, centered": (by_layer(True), "a.theta", (3, 1), "a.scale", 0.4),
}


@pytest.mark.parametrize("case", CASES)
def test_the_density_is_that_of_the_site_with_its_jacobian(case):
    """log p(z) = log p(theta(z)) + log |d theta / d z|, by SciPy and by autodiff.

    At 1 the coordinate is the site itself, at 0 it is standard: (theta - m) / s.
    """
    model, name, shape, scale, m = CASES[case]
    z = jnp.array([0.2, -1.1, 0.8]).reshape(shape)
    fixed = {scale: jnp.full((), 0.25), "m": jnp.asarray(m)}

    def run(z, c):
        found = sites_of(recenter(model, {name: c}), {**fixed, f"{name}_recentered": z})
        assert found[name]["type"] == "deterministic"
        theta = found[name]["value"]
        return theta, (found[f"{name}_recentered"]["fn"].log_prob(z).sum(), theta)

    compiled = jax.jit(jax.jacobian(run, has_aux=True))
    for c in (C, np.zeros(3), np.full(3, 0.6), np.ones(3)):
        jacobian, (got, theta) = compiled(z, jnp.asarray(c.reshape(shape)))
        right = norm.logpdf(np.asarray(theta), m, 0.25).sum()
        slope = np.linalg.slogdet(np.asarray(jacobian).reshape(3, 3))[1]
        np.testing.assert_allclose(got, right + slope, rtol=2e-5)
        expected = {0.0: m + 0.25 * z, 1.0: z}.get(c[1])
        if expected is not None:
            np.testing.assert_allclose(theta, expected, rtol=1e-6)


def test_draws_are_in_the_sites_of_the_model_itself():
    """The base that a layer draws by itself is there too, and gives the same coefficients."""
    for centered, model in ((False, by_layer(False)), (0.5, by_layer(0.5))):
        sites = sites_of(recenter(model, {"a.theta": C[:, None]}), {"a.scale": 0.3})
        own = {n: sites[n]["value"] for n in ("a.scale", "a.theta_base")}
        again = sites_of(model, own)["a.theta"]["value"]
        np.testing.assert_allclose(again, sites["a.theta"]["value"], rtol=1e-5)
        base = (sites["a.theta"]["value"] - 0.4) / 0.3 if not centered else None
        if base is not None:
            np.testing.assert_allclose(own["a.theta_base"], base, rtol=1e-4, atol=1e-6)


def test_a_walk_takes_the_numbers_of_its_components():
    """The model's own base, of the coordinates, has the walk that the coordinates have."""
    sites = sites_of(recenter(walk, {"a.delta": C[:, None]}), {"a.scale": 0.3})
    own = {n: sites[n]["value"] for n in ("a.scale", "a.delta_base")}
    again = sites_of(walk, own)["a.theta"]["value"]
    np.testing.assert_allclose(again, sites["a.theta"]["value"], rtol=1e-5)
    z = np.asarray(sites["a.delta_recentered"]["value"])
    np.testing.assert_allclose(z, 0.3 ** C[:, None] * own["a.delta_base"], rtol=1e-5)


def test_families_other_than_normal():
    """A log-normal follows from its normal base; a Student's t keeps its degrees of freedom."""

    def model():
        s = numpyro.sample("s", dist.HalfNormal(1.0))
        numpyro.sample("t", dist.StudentT(4.0, 1.0, s))
        numpyro.sample("size", dist.LogNormal(0.5, s))

    values = {"s": 0.3, "t_recentered": 0.9, "size_recentered": 0.2}
    sites = sites_of(recenter(model, {"t": 0.5, "size": 0.5}), values)
    root = 0.3**0.5
    np.testing.assert_allclose(sites["t"]["value"], 1 + root * (0.9 - 0.5), rtol=1e-5)
    right = np.exp(0.5 + root * (0.2 - 0.25))
    np.testing.assert_allclose(sites["size"]["value"], right, rtol=1e-5)
    assert float(sites["t_recentered"]["fn"].df) == 4.0


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("case", ["plate", "layer, non-centered"])
def test_an_ensemble_of_it_is_the_sum_of_its_members(case, inside):
    """The handler stands inside or outside of the ensemble: one density, that of each member."""
    model, name, shape, _, _ = CASES[case]
    c = {name: C.reshape(shape)}
    if inside or case == "plate":
        whole = ensemble(recenter(model, c), 2, dim=-2)
    else:
        whole = recenter(ensemble(model, 2, dim=-2), c)
    draws = trace(seed(recenter(model, c), 1)).get_trace()
    latent = [n for n, site in draws.items() if site["type"] == "sample"]
    members = {n: jnp.stack([draws[n]["value"], 1.5 * draws[n]["value"]]) for n in latent}
    drawn = trace(seed(whole, 1)).get_trace()
    plated = {n: x.reshape(drawn[n]["value"].shape) for n, x in members.items()}

    @jax.jit
    def densities(members, plated):
        density = lambda of, values: log_density(of, (), {}, values)[0]
        each = jax.vmap(lambda values: density(recenter(model, c), values))(members)
        return density(whole, plated), each.sum()

    np.testing.assert_allclose(*densities(members, plated), rtol=1e-5)


def test_names_as_the_handler_sees_them():
    """Scopes inside of the handler are part of the name, those outside are not."""
    outer = scope(
        recenter(scope(by_layer(0), "in", divider="."), {"in.a.theta": 0.5}), "out"
    )
    assert "out/in.a.theta_recentered" in sites_of(outer, {})


def test_layers_inside_of_plates():
    """An array may have the plate's axis: each group has coordinates of its own."""

    def model():
        with numpyro.plate("groups", 2):
            RandomEffectsLayer()("a", INDEX, 3)

    c = np.array([0.0, 1.0]).reshape(2, 1, 1) + np.zeros((2, 3, 1))
    sites = sites_of(recenter(model, {"a.theta": c}), {"a.scale": jnp.array([0.2, 0.3])})
    z, theta = (np.asarray(sites[f"a.theta{n}"]["value"]) for n in ("_recentered", ""))
    np.testing.assert_allclose(theta[0], 0.2 * z[0], rtol=1e-6)
    np.testing.assert_allclose(theta[1], z[1], rtol=1e-6)


def test_what_cannot_be():
    for wrong in (1.5, -0.1, np.nan, "half"):
        with pytest.raises(
            ValueError, match=r"`centering` of the site 'theta' must be from 0"
        ):
            recenter(plain, {"theta": wrong})
    with pytest.raises(TypeError, match="`centering` must be a dictionary"):
        recenter(plain, 0.5)
    with pytest.raises(ValueError, match=r"got 'thetta'. Did you mean 'theta'\?"):
        sites_of(recenter(plain, {"thetta": 0.5}), {})
    for model, name in ((plain, "theta"), (by_layer(False), "a.theta")):
        with pytest.raises(
            ValueError, match=rf"'{name}' must be a number or an array that"
        ):
            sites_of(recenter(model, {name: np.zeros(4)}), {})
