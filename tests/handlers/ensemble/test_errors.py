"""How an ensemble is made, and what it says when it cannot be."""

import functools

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer import SVI, Trace_ELBO
from numpyro.optim import Adam

from numpyro_bayeslayers.handlers._ensemble import PRIVATE_API, ensemble

from .members import SIZE, X, Y, regression


def plated():
    with numpyro.plate("outer", 4, dim=-2), numpyro.plate("inner", 3):
        return numpyro.sample("z", dist.Normal(0, 1))


def scalar():
    """A model of one site."""
    return numpyro.sample("z", dist.Normal(0, 1))


def run(model, *args):
    return jax.eval_shape(lambda: handlers.seed(model, 0)(*args))


def test_it_is_a_decorator_too():
    decorated = ensemble(num_members=SIZE, name="members")(scalar)
    assert decorated.__name__ == "scalar"
    assert decorated.__doc__ == "A model of one site."
    assert decorated.__wrapped__ is scalar
    assert run(decorated).shape == run(ensemble(scalar, SIZE)).shape == (SIZE,)
    sites = handlers.trace(handlers.seed(decorated, 0)).get_trace()
    assert list(sites) == ["members", "z"]


def test_any_callable_is_a_model():
    partial = functools.partial(regression, subsample_size=4)
    assert run(ensemble(partial, SIZE), X) is None
    assert run(ensemble(handlers.scope(scalar, prefix="a", divider="."), SIZE)).shape == (
        SIZE,
    )


@pytest.mark.parametrize("num_members", [0, -1])
def test_num_members_is_positive(num_members):
    with pytest.raises(ValueError, match="`num_members` must be a positive integer"):
        ensemble(scalar, num_members)


@pytest.mark.parametrize("num_members", [None, 2.0, True, "3"])
def test_num_members_is_an_integer(num_members):
    with pytest.raises(TypeError, match="num_members"):
        ensemble(scalar, num_members)


def test_model_is_callable():
    with pytest.raises(TypeError, match="model"):
        ensemble("model", 2)


def test_dim_is_negative():
    with pytest.raises(ValueError, match="must be negative, got 1"):
        ensemble(scalar, 2, dim=1)


@pytest.mark.parametrize("dim", [-1, -2])
def test_dim_is_left_of_the_models_plates(dim):
    with pytest.raises(ValueError, match=r"plate 'outer' at dim -2.*pass one below -2"):
        run(ensemble(plated, SIZE, dim=dim))
    assert run(ensemble(plated, SIZE, dim=-3)).shape == (SIZE, 4, 3)


def test_names_of_plates_differ():
    with pytest.raises(ValueError, match="a plate named 'inner' itself"):
        run(ensemble(plated, SIZE, name="inner"))
    with pytest.raises(ValueError, match="a plate named 'ensemble' itself"):
        run(ensemble(ensemble(scalar, 2), 3))


def test_plates_around_the_ensemble_are_refused():
    def model():
        with numpyro.plate("groups", 5):
            ensemble(scalar, SIZE)()

    with pytest.raises(
        ValueError, match=r"ensemble\(ensemble\(model, 3, 'ensemble'\), 5, 'groups'\)"
    ):
        run(model)
    # Inside of a member, an ensemble does not see the plates outside.
    assert run(ensemble(lambda: ensemble(scalar, 2, "inner")(), SIZE)).shape == (SIZE, 2)


@pytest.mark.parametrize(
    "around",
    [
        jax.jit,
        lambda f: lambda a: jax.lax.scan(lambda c, x: (c, f(x)), 0.0, a),
        lambda f: lambda a: jax.lax.cond(a[0] > 0, f, f, a),
    ],
    ids=["jit", "scan", "cond"],
)
def test_sites_inside_of_transformations_are_refused(around):
    def model():
        a = numpyro.sample("a", dist.Normal(0, 1).expand([2]).to_event(1))
        around(lambda x: numpyro.sample("b", dist.Normal(x.sum(), 1.0)))(a)

    with pytest.raises(ValueError, match=r"numpyro\.contrib\.control_flow"):
        run(ensemble(model, SIZE, dim=-1))


def test_sites_inside_of_vmap_are_refused():
    def model():
        a = numpyro.sample("a", dist.Normal(0, 1).expand([2]).to_event(1))
        jax.vmap(lambda x: numpyro.sample("b", dist.Normal(x, 1.0)))(a)

    with pytest.raises(ValueError, match=r"jax\.vmap.*numpyro\.plate"):
        run(ensemble(model, SIZE, dim=-1))


def test_keys_inside_of_vmap_are_as_without_an_ensemble():
    def model():
        return jax.vmap(lambda x: x + jax.random.uniform(numpyro.prng_key()))(jnp.zeros(2))

    assert run(ensemble(model, SIZE)).shape == (SIZE, 2)


@pytest.mark.parametrize(
    "value", [jnp.zeros((SIZE, 2, 2)), jnp.zeros((5, 1, 2, 2)), jnp.zeros((7, 2, 2))]
)
@pytest.mark.parametrize("handler", [handlers.substitute, handlers.condition])
def test_values_without_the_axis_of_members(value, handler):
    """(E, *event) is not the shape of a site whose members are at dim -2."""
    model = handler(ensemble(regression, SIZE), {"net.w": value})
    with pytest.raises(
        ValueError, match=r"'net.w'.*\(3, 1, 2, 2\): the 3 members are at dim -2"
    ):
        run(model, X, Y)


def test_params_without_the_axis_of_members():
    def model():
        return numpyro.param("p", jnp.zeros(2))

    with pytest.raises(ValueError, match=r"'p'.*leading axis.*3 members"):
        run(handlers.substitute(ensemble(model, SIZE), {"p": jnp.zeros(2)}))


def guide(x, y):
    numpyro.sample("z", dist.Normal(numpyro.param("m", jnp.zeros(())), 1.0))


def nested(x, y):
    z = numpyro.sample("z", dist.Normal(0, 1))
    with numpyro.plate("a", 2), numpyro.plate("b", 3):
        numpyro.sample("u", dist.Normal(z, 1.0), obs=jnp.zeros((3, 2)))


@pytest.mark.parametrize("dims", [(None, None), (-1, -3), (-4, -3)])
def test_guide_and_model_with_different_axes(dims):
    g, m = (ensemble(f, SIZE, dim=d) for f, d in zip((guide, nested), dims, strict=True))
    deeper = min(dims[0] or -2, -3)
    with pytest.raises(ValueError, match=f"`dim={deeper}` to both"):
        SVI(m, g, Adam(0.1), Trace_ELBO()).init(jax.random.key(0), X, Y)
    pair = ensemble(nested, SIZE, dim=deeper), ensemble(guide, SIZE, dim=deeper)
    SVI(*pair, Adam(0.1), Trace_ELBO()).init(jax.random.key(0), X, Y)


def test_guide_and_model_with_different_sizes():
    def model(x, y):
        numpyro.sample("z", dist.Normal(0, 1))

    svi = SVI(ensemble(model, 3), ensemble(guide, 4), Adam(0.1), Trace_ELBO())
    with pytest.raises(
        ValueError, match="replayed with 4 members, but this ensemble has 3"
    ):
        svi.init(jax.random.key(0), X, Y)


def test_handlers_outside_survive_an_error_inside():
    def model():
        numpyro.sample("a", dist.Normal(0, 1))
        raise KeyError("mine")

    with handlers.seed(rng_seed=0), handlers.trace() as sites:
        for dim in (None, -1):
            with pytest.raises(KeyError, match="mine"):
                ensemble(model, SIZE, dim=dim)()
        numpyro.sample("after", dist.Normal(0, 1))
    assert jnp.shape(sites["after"]["value"]) == ()
    assert not numpyro.primitives._PYRO_STACK


def test_private_names_are_listed_and_there():
    import importlib

    for path in PRIVATE_API:
        if (
            not path.startswith(("numpyro.", "jax."))
            or path == "numpyro.plate.subsample_size"
        ):
            continue
        *parents, name = path.removesuffix(".trace").split(".")
        assert hasattr(importlib.import_module(".".join(parents)), name), path
