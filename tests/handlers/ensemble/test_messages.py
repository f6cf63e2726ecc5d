"""What an ensemble makes of each statement that is not a sample site."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.infer import SVI, Trace_ELBO
from numpyro.optim import Adam
from numpyro.primitives import mutable

from numpyro_bayeslayers import primitives
from numpyro_bayeslayers.handlers._ensemble import ensemble

from .members import SIZE, X, Y, trace_of

KEYS = [random.key(0), random.PRNGKey(0), 0]


@pytest.mark.parametrize("key", KEYS, ids=["typed", "raw", "number"])
def test_members_have_keys_of_the_kind_they_would_have(key):
    def model():
        key = numpyro.prng_key()
        return key, random.uniform(key)

    keys, draws = handlers.seed(ensemble(model, SIZE), key)()
    one, _ = handlers.seed(model, key)()
    assert keys.dtype == one.dtype
    assert keys.shape == (SIZE, *one.shape)
    assert len(jnp.unique(draws)) == SIZE


def test_a_key_without_seed_is_none():
    def model():
        assert numpyro.prng_key() is None

    ensemble(model, SIZE, dim=-1)()


def test_returned_values_lead_with_the_members():
    """Arrays and numbers have an entry for each member; anything else is shared."""

    def model():
        a = numpyro.sample("a", dist.Normal(0, 1))
        return {
            "a": a,
            "fixed": jnp.ones(2),
            "number": 1.5,
            "name": "out",
            "none": None,
            "f": len,
        }

    out = handlers.seed(ensemble(model, SIZE), 0)()
    assert out["a"].shape == out["number"].shape == (SIZE,)
    assert out["fixed"].shape == (SIZE, 2)
    assert (out["name"], out["none"], out["f"]) == ("out", None, len)


def test_deterministic_values_lead_with_the_members():
    def model():
        a = numpyro.sample("a", dist.Normal(0, 1))
        numpyro.deterministic("fixed", jnp.ones(2))
        numpyro.deterministic("number", 2.0)
        return numpyro.deterministic("tree", {"double": 2 * a})["double"]

    sites = trace_of(ensemble(model, SIZE))
    assert sites["fixed"]["value"].shape == (SIZE, 2)
    assert sites["number"]["value"].shape == (SIZE,)
    np.testing.assert_allclose(
        sites["tree"]["value"]["double"], 2 * sites["a"]["value"][:, 0], rtol=1e-6
    )
    given = handlers.substitute(
        ensemble(model, SIZE), {"tree": {"double": jnp.arange(3.0)}}
    )
    np.testing.assert_array_equal(handlers.seed(given, 0)(), jnp.arange(3.0))


def params():
    """One of each: a constant, a function of a key, event dims, a constraint, a pytree."""
    constant = numpyro.param("constant", jnp.ones(2))
    lazy = numpyro.param("lazy", lambda key: random.normal(key, (2,)))
    positive = numpyro.param("positive", 1.0, constraint=constraints.positive)
    tree = numpyro.param("tree", {"a": jnp.zeros(2), "b": np.zeros(3)})
    with numpyro.plate("rows", 12, subsample_size=4):
        local = numpyro.param("local", jnp.zeros((12, 2)), event_dim=1)
        lazy_local = numpyro.param(
            "lazy_local", lambda key: random.normal(key, (12,)), event_dim=0
        )
    assert local.shape == (4, 2)
    assert lazy_local.shape == (4,)
    return constant, lazy, positive, tree, local, lazy_local


def test_params_have_a_value_for_each_member():
    sites = trace_of(ensemble(params, SIZE))
    shapes = {
        n: jax.tree.map(jnp.shape, s["value"])
        for n, s in sites.items()
        if s["type"] == "param"
    }
    assert shapes == {
        "constant": (SIZE, 2),
        "lazy": (SIZE, 2),
        "positive": (SIZE,),
        "tree": {"a": (SIZE, 2), "b": (SIZE, 3)},
        "local": (SIZE, 12, 2),
        "lazy_local": (SIZE, 12),
    }
    assert jnp.std(sites["lazy"]["value"], axis=0).min() > 0
    assert jnp.std(sites["lazy_local"]["value"], axis=0).min() > 0
    assert jnp.std(sites["constant"]["value"], axis=0).max() == 0


def test_params_that_are_substituted_reach_their_members():
    values = {
        "constant": jnp.arange(6.0).reshape(3, 2),
        "local": jnp.broadcast_to(jnp.arange(3.0)[:, None, None], (3, 12, 2)),
        "lazy_local": jnp.broadcast_to(jnp.arange(3.0)[:, None], (3, 12)),
    }
    model = handlers.substitute(ensemble(params, SIZE), values)
    constant, *_, local, lazy_local = handlers.seed(model, 0)()
    np.testing.assert_array_equal(constant, values["constant"])
    np.testing.assert_array_equal(local, values["local"][:, :4])
    np.testing.assert_array_equal(lazy_local, values["lazy_local"][:, :4])


def test_params_with_singleton_plates_keep_their_axes():
    def model():
        with numpyro.plate("outer", 2), numpyro.plate("inner", 1):
            lazy = numpyro.param(
                "lazy", lambda key: random.normal(key, (1, 2, 3)), event_dim=1
            )
            return lazy, numpyro.param("constant", jnp.ones((1, 1)), event_dim=0)

    lazy, constant = handlers.seed(ensemble(model, SIZE, dim=-3), 0)()
    assert lazy.shape == (SIZE, 1, 2, 3)
    assert constant.shape == (SIZE, 1, 1)


def test_params_are_trained_and_constrained():
    def model(y):
        scale = numpyro.param("scale", 2.0, constraint=constraints.positive)
        loc = numpyro.param("loc", lambda key: random.normal(key))
        with numpyro.plate("rows", y.shape[0]):
            numpyro.sample("y", dist.Normal(loc, scale), obs=y)

    def empty(y):
        pass

    svi = SVI(ensemble(model, SIZE), empty, Adam(0.1), Trace_ELBO())
    params = svi.run(random.key(0), 300, Y, progress_bar=False).params
    np.testing.assert_allclose(params["loc"], jnp.full(SIZE, Y.mean()), rtol=1e-2)
    np.testing.assert_allclose(params["scale"], jnp.full(SIZE, Y.std()), rtol=1e-2)


def running_mean(x):
    state = mutable("state", {"mean": jnp.zeros(2), "steps": 0})
    shift = numpyro.sample("shift", dist.Normal(0, 1))
    state["mean"] = 0.5 * state["mean"] + x.mean(0) + shift
    state["steps"] = state["steps"] + 1
    return state["mean"]


def test_mutable_values_are_written_back():
    sites = trace_of(ensemble(running_mean, SIZE), X)
    value, shift = sites["state"]["value"], sites["shift"]["value"]
    np.testing.assert_allclose(value["mean"], X.mean(0) + shift, rtol=1e-5)
    np.testing.assert_array_equal(value["steps"], [1, 1, 1])


def test_mutable_values_are_carried_by_svi():
    """The state of a step is where the next one starts, for each member."""

    def guide(x):
        numpyro.sample("shift", dist.Delta(numpyro.param("d", lambda k: random.normal(k))))

    model, guide = ensemble(running_mean, SIZE), ensemble(guide, SIZE)
    svi = SVI(model, guide, Adam(0.0), Trace_ELBO())
    state = svi.init(random.key(0), X)
    shift = svi.get_params(state)["d"]
    np.testing.assert_array_equal(state.mutable_state["state"]["steps"], [1, 1, 1])
    for _ in range(2):
        state, _ = jax.jit(svi.update)(state, X)
    mutable = state.mutable_state["state"]
    np.testing.assert_array_equal(mutable["steps"], [3, 3, 3])
    expected = 1.75 * (X.mean(0) + shift[:, None])
    np.testing.assert_allclose(mutable["mean"], expected, rtol=1e-5)


def test_masks_can_be_asked_for():
    found = []

    def model():
        found.append(numpyro.get_mask())
        return jnp.asarray(found[-1])

    handlers.mask(ensemble(model, SIZE, dim=-1), mask=False)()
    assert found == [False]
    outside = jnp.array([True, False, True])
    np.testing.assert_array_equal(
        handlers.mask(ensemble(model, SIZE, dim=-1), mask=outside)(), outside
    )

    def masked():
        with handlers.mask(mask=jnp.array(True)):
            return numpyro.get_mask()

    np.testing.assert_array_equal(
        handlers.mask(ensemble(masked, SIZE, dim=-1), mask=outside)(), outside
    )


def test_all_members_see_one_minibatch():
    def model():
        with numpyro.plate("rows", 100, subsample_size=5) as indices:
            z = numpyro.sample("z", dist.Normal(0, 1))
        return indices, z

    sites = trace_of(ensemble(model, SIZE))
    assert sites["rows"]["value"].shape == (5,)
    assert sites["z"]["scale"] == 20.0
    indices, z = handlers.seed(ensemble(model, SIZE), 0)()
    assert z.shape == (SIZE, 5)
    np.testing.assert_array_equal(indices, jnp.broadcast_to(indices[0], (SIZE, 5)))


def test_a_seed_inside_of_a_member_is_its_own():
    def model():
        with numpyro.plate("rows", 6, subsample_size=2) as indices:
            return indices, numpyro.sample("z", dist.Normal(0, 1)), numpyro.prng_key()

    plain = handlers.seed(model, random.key(3))()
    for got, expected in zip(
        ensemble(handlers.seed(model, random.key(3)), SIZE, dim=-2)(), plain, strict=True
    ):
        assert all(jnp.array_equal(got[e], expected) for e in range(SIZE))

    def own_keys():
        return handlers.seed(model, numpyro.prng_key())()[1]

    assert len(jnp.unique(handlers.seed(ensemble(own_keys, SIZE), 0)())) == 2 * SIZE


def test_entries_of_infer_cross_the_border():
    """Flags stay flags, arrays of a member get the members' axis."""
    entries = {}

    def model():
        a = numpyro.sample("a", dist.Normal(0, 1))
        infer = {primitives.DIVERGENCE: True, "own": a, "shared": jnp.arange(2), "tag": "x"}
        numpyro.sample("b", dist.Normal(a, 1.0), infer=infer)
        primitives.divergence("kl", a**2)

    class Inside(numpyro.primitives.Messenger):
        def postprocess_message(self, msg):
            entries[msg["name"]] = msg.get("infer")

    def watched():
        with Inside():
            model()

    sites = trace_of(ensemble(watched, SIZE))
    outside = sites["b"]["infer"]
    assert outside[primitives.DIVERGENCE] is True
    assert sites["kl"]["infer"] == {primitives.DIVERGENCE: True}
    assert outside["tag"] == "x"
    assert outside["own"].shape == (SIZE,)
    assert outside["shared"].shape == (2,)
    assert entries["b"][primitives.DIVERGENCE] is True
    assert entries["b"]["own"].shape == ()


def test_layers_names_are_claimed_once_per_run():
    def model():
        primitives.sample("w", dist.Normal(0, 1))
        primitives.sample("w", dist.Normal(0, 1))

    def twice():
        for prefix in "ab":
            with handlers.scope(prefix=prefix, divider="."):
                ensemble(lambda: primitives.sample("w", dist.Normal(0, 1)), SIZE)()

    with pytest.raises(ValueError, match="exists already"):
        handlers.seed(ensemble(model, SIZE, dim=-1), 0)()
    assert {"a.w", "b.w"} <= set(trace_of(twice))
    seeded = handlers.seed(ensemble(lambda: primitives.sample("w", dist.Normal()), SIZE), 0)
    for _ in range(2):
        seeded()
