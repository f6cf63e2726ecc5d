"""A layer's sites have the names that a plain site would have, under each stock handler."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer.reparam import LocScaleReparam

from numpyro_bayeslayers.layers import DenseReparameterization, lift
from numpyro_bayeslayers.primitives import param, sample, scope

WEIGHT, LEVEL = "net.hidden.weight", "net.hidden.level"
PRIOR = dist.Normal(1.0, 2.0).expand([3]).to_event(1)
VALUE = {WEIGHT: jnp.ones((4, 3))}


def _start(key, shape):
    return jnp.zeros(shape)


def layered():
    """Sites below two scopes, one of them in a plate."""
    with scope(prefix="net"), scope(prefix="hidden"):
        with numpyro.plate("groups", 4):
            value = sample("weight", PRIOR)
        return value, param("level", _start, (2,)).value


def plain():
    """The same sites, with their full names."""
    with numpyro.plate("net.hidden.groups", 4):
        value = numpyro.sample(WEIGHT, PRIOR)
    return value, numpyro.param(LEVEL, jnp.zeros(2), event_dim=1)


HANDLERS = {
    "none": lambda model: model,
    "reparam": lambda model: handlers.reparam(model, {WEIGHT: LocScaleReparam(0.0)}),
    "do": lambda model: handlers.do(model, VALUE),
    "condition": lambda model: handlers.condition(model, VALUE),
    "substitute": lambda model: handlers.substitute(model, VALUE),
    "infer_config": lambda model: handlers.infer_config(model, lambda site: {"is": 1}),
    "lift": lambda model: handlers.lift(
        model, {LEVEL: dist.Normal(0.0, 1.0).expand([2]).to_event(1)}
    ),
    "uncondition": lambda model: handlers.uncondition(handlers.condition(model, VALUE)),
    "reparam in reparam": lambda model: handlers.reparam(
        handlers.reparam(model, {WEIGHT: LocScaleReparam(0.5)}),
        {f"{WEIGHT}_decentered": LocScaleReparam(0.0)},
    ),
    "block": lambda model: handlers.block(model, hide=[WEIGHT]),
    "scope": lambda model: handlers.scope(model, prefix="outer"),
    "scale": lambda model: handlers.scale(model, scale=2.0),
}


def _sites(model):
    found = handlers.trace(handlers.seed(model, 0)).get_trace()
    keys = ("type", "is_observed", "scale", "infer", "cond_indep_stack")
    return [
        (name, jnp.shape(site["value"]), {key: site.get(key) for key in keys})
        for name, site in found.items()
    ]


@pytest.mark.parametrize("around", HANDLERS.values(), ids=HANDLERS)
def test_stock_handlers_see_plain_sites(around):
    assert _sites(around(layered)) == _sites(around(plain))


def test_a_handler_between_two_layers_gets_the_outer_name_alone():
    """What it sends is a site of the outer layer, not of the inner one."""

    def inner():
        with scope(prefix="hidden"):
            sample("weight", PRIOR)

    def outer():
        with scope(prefix="net"):
            handlers.reparam(inner, {"hidden.weight": LocScaleReparam(0.0)})()

    names = [name for name, *_ in _sites(outer)]
    assert names == [f"{WEIGHT}_decentered", WEIGHT]


def test_a_scope_works_again_after_an_error():
    name_it = scope(prefix="net")

    def model(value):
        with name_it:
            return numpyro.sample("weight", PRIOR, obs=value)

    with pytest.raises(RuntimeError, match="on purpose"):
        with _Refuse():
            model(None)
    assert list(handlers.trace(model).get_trace(jnp.ones(3))) == ["net.weight"]


class _Refuse(numpyro.primitives.Messenger):
    def process_message(self, msg):
        raise RuntimeError("on purpose")


def test_layers_and_lifted_modules_are_reparameterized():
    """The case that doubled the prefix: ``hidden/hidden/weight_decentered``."""
    import equinox as eqx
    import jax

    linear = eqx.nn.Linear(3, 2, key=jax.random.key(0))
    lifted = lift(linear, {"*": dist.Normal(0.0, 2.0)}, name="net")

    def model(x):
        h = DenseReparameterization(3, 3, name="hidden")(x)
        return lifted(h)

    config = {"hidden.weight": LocScaleReparam(0.0), "net.weight": LocScaleReparam(0.0)}
    found = handlers.trace(handlers.seed(handlers.reparam(model, config), 0)).get_trace(
        jnp.ones((5, 3))
    )
    assert {n for n in found if n.endswith("_decentered")} == {
        "hidden.weight_decentered",
        "net.weight_decentered",
    }
    assert not [name for name in found if "/" in name]
