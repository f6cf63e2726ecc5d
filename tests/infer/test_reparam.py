"""Decorators of models: which sites are decentered, the same law, and columns."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import log_density

from numpyro_bayeslayers.handlers import ensemble
from numpyro_bayeslayers.infer import autoreparam, autoreshape
from numpyro_bayeslayers.layers import AdaptiveLayer, FixedPriorLayer, gaussian_link

pytestmark = pytest.mark.usefixtures("as_users_run")

X = jnp.linspace(-1.0, 1.0, 10).reshape(5, 2)
Y = jnp.arange(5.0)


def model(x=X, y=None):
    """Sites of all kinds: in plates and scopes, transformed, standard, observed."""
    loc = numpyro.sample("loc", dist.Normal(1.0, 2.0))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("groups", 3):
        numpyro.sample("effect", dist.StudentT(4.0, loc, spread))
        numpyro.sample("rate", dist.LogNormal(loc, spread))
        numpyro.sample("standard", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    f = AdaptiveLayer(centered=True)("centered", x) + AdaptiveLayer()("other", x)
    f = f + FixedPriorLayer(dist.Laplace(0.0, 0.5))("fixed", x)
    return gaussian_link(f, y)


def sites(fn, *args):
    found = trace(seed(fn, 0)).get_trace(*args)
    return {n: s for n, s in found.items() if s["type"] in ("sample", "deterministic")}


EXPECTED = {"loc", "effect", "rate", "centered.beta", "fixed.beta"}


def decentered(found):
    end = "_decentered"
    return {n.removesuffix(end) for n, s in found.items() if n.endswith(end)}


def test_decentered_sites_are_counted():
    found = sites(autoreparam(model), X, Y)
    assert decentered(found) == EXPECTED
    assert len(found) == len(sites(model, X, Y)) + len(EXPECTED)
    assert all(found[name]["type"] == "deterministic" for name in EXPECTED)
    assert "other.beta_base" in found and found["standard"]["type"] == "sample"
    assert found["obs"]["is_observed"]


def test_choice_does_not_depend_on_jit():
    names = []

    def traced(x, y):
        names.append(list(sites(autoreparam(model), x, y)))
        return 0.0

    jax.eval_shape(traced, X, Y)
    assert names[0] == list(sites(autoreparam(model), X, Y))


def test_plates_and_shapes_are_those_of_the_site():
    before, after = sites(model), sites(autoreparam(model))
    for name in EXPECTED:
        drawn = after[f"{name}_decentered"]
        assert drawn["value"].shape == before[name]["value"].shape
        assert drawn["fn"].event_dim == before[name]["fn"].event_dim
        assert drawn["cond_indep_stack"] == before[name]["cond_indep_stack"]


@pytest.mark.parametrize("centered", [0.0, 0.3])
def test_law_is_the_same(centered):
    """Density of the sites = density of the draws / the Jacobian of the map, site by site."""
    fn = autoreparam(model, centered=centered)
    found = sites(fn, X, Y)
    draws = {n: s["value"] for n, s in found.items() if s["type"] == "sample"}
    values = {n: s["value"] for n, s in found.items() if not n.endswith("_decentered")}
    new, _ = log_density(fn, (X, Y), {}, draws)
    old, old_trace = log_density(model, (X, Y), {}, values)
    jacobian = 0.0
    for name in EXPECTED:
        law = old_trace[name]["fn"]
        base = getattr(law, "base_dist", law)
        while not hasattr(base, "scale"):
            base = base.base_dist
        shape = values[name].shape
        jacobian += (1 - centered) * jnp.log(jnp.broadcast_to(base.scale, shape)).sum()
        if law.support is constraints.positive:  # exp
            jacobian += jnp.log(values[name]).sum()
    np.testing.assert_allclose(new, old + jacobian, rtol=1e-5)


def test_centered_leaves_the_model_alone():
    assert list(sites(autoreparam(model, centered=1.0))) == list(sites(model))


def test_with_and_without_parentheses_and_in_an_ensemble():
    assert list(sites(autoreparam()(model))) == list(sites(autoreparam(model)))
    members = sites(ensemble(autoreparam(model), 4), X, Y)
    assert decentered(members) == EXPECTED
    assert members["effect_decentered"]["value"].shape == (4, 3)


def test_value_given_to_the_site_inside_is_obeyed():
    fn = autoreparam(substitute(model, data={"loc": jnp.array(7.0)}))
    assert sites(fn)["loc"]["value"] == 7.0


def test_centeredness_is_checked():
    for wrong in (-0.1, 1.5):
        with pytest.raises(ValueError, match="`centered` must be a number from 0 to 1"):
            autoreparam(model, centered=wrong)
    for wrong in (True, "0"):
        with pytest.raises(TypeError, match="`centered` must be a number"):
            autoreparam(model, centered=wrong)


def test_columns():
    @autoreshape
    def shapes(*args, **kwargs):
        """Documented."""
        return [np.shape(v) for v in [*args, *kwargs.values()]]

    given = shapes(np.ones(3), jnp.ones((3, 2)), 2.0, None, z=jnp.ones(3), k=np.arange(3))
    assert given == [(3, 1), (3, 2), (), (), (3, 1), (3,)]
    assert shapes.__doc__ == "Documented."


def test_columns_keep_rows_apart():
    """In a formula for columns, (n,) beside (n, 1) would be (n, n)."""

    def formula(x, y=None):
        beta = numpyro.sample("beta", dist.Normal(0, 1).expand([1, 1]).to_event(2))
        numpyro.sample("y", dist.Normal(jnp.reshape(x, (-1, 1)) @ beta, 1.0), obs=y)

    x, y = X[:, 0], Y
    assert sites(formula, x, y)["y"]["fn"].log_prob(y).shape == (5, 5)
    columns = sites(autoreshape(formula), x, y)["y"]
    assert columns["fn"].log_prob(columns["value"]).shape == (5, 1)
