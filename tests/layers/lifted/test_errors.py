"""What `lift` and lifted modules refuse, and what they say."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints
from numpyro.handlers import seed

from numpyro_bayeslayers.layers import lift

pytestmark = pytest.mark.usefixtures("as_users_run")

KEY = jax.random.key(0)
N01 = dist.Normal(0, 1)
MLP = eqx.nn.MLP(3, 2, 4, 1, key=KEY)
LINEAR = eqx.nn.Linear(3, 2, key=KEY)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"*.weight": N01}, r"has no entry for layers.0.bias, layers.1.bias. Add a"),
        ({"*": N01, "*.wieght": N01}, r"'\*.wieght' of `priors` matches no parameter"),
        ({"*": N01, "layer.0.bias": N01}, "Did you mean 'layers.0.bias'?"),
        ({"*": N01, "*.bias": None}, r"'\*.bias' of `priors` is never reached"),
        ({"*": None}, "freezes every parameter"),
        ({"*": dist.Normal(jnp.zeros(7), 1)}, r"has shape \(7,\) .* shape \(4, 3\)"),
        (
            {"*": dist.MultivariateNormal(jnp.zeros(3), jnp.eye(3))},
            r"prior of 'layers.0.bias' .* shape \(4,\)",
        ),
        ({"*.bias": constraints.positive, "*": N01}, "'layers.0.bias' must satisfy"),
    ],
)
def test_tables(table, message):
    with pytest.raises(ValueError, match=message):
        lift(MLP, table)


def test_kinds_of_argument():
    with pytest.raises(TypeError, match="`module` must be an Equinox module"):
        lift(jnp.tanh, {"*": N01})
    with pytest.raises(TypeError, match="`priors` must be a mapping"):
        lift(MLP, N01)
    with pytest.raises(
        TypeError, match=r"entry of 'layers.0.weight' must be a distribution"
    ):
        lift(MLP, {"*": 1.0})
    with pytest.raises(ValueError, match="has no arrays of floating point numbers"):
        lift(eqx.nn.Lambda(jnp.tanh), {"*": N01})
    with pytest.raises(ValueError, match="`in_ndim` must be zero or positive"):
        lift(MLP, {"*": N01}, in_ndim=-1)


def test_errors_of_a_module_name_the_shape_of_an_example():
    """The module's own error does not know that it was called for rows."""
    layer = seed(lift(LINEAR, {"*": N01}), 0)
    with pytest.raises(TypeError) as found:
        layer(jnp.ones((5, 4)))
    assert any(
        "`x` has examples of shape (4,)" in note and "lifted Linear" in note
        for note in found.value.__notes__
    )
    with pytest.raises(ValueError, match="`x`, each of the inputs, must have at least 1"):
        layer(1.0)
    with pytest.raises(ValueError, match="`x` must have an array of rows"):
        layer(None)


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: eqx.nn.BatchNorm(3, "batch", mode="ema"), r"ema_first_time_index"),
        (
            lambda: eqx.nn.SpectralNorm(LINEAR, "weight", key=KEY),
            "uv_index",
        ),
        (
            lambda: eqx.nn.make_with_state(eqx.nn.Sequential)(
                [LINEAR, eqx.nn.BatchNorm(2, "batch", mode="batch")]
            )[0],
            r"layers.1.batch_counter",
        ),
    ],
)
def test_states(make, path):
    """A state that is not given would be lost between calls: it is asked for."""
    with pytest.raises(ValueError, match=f"`state` must be given.* at '{path}'.*GroupNorm"):
        lift(make(), {"*": N01})


def test_inputs():
    attention = lift(eqx.nn.MultiheadAttention(2, 4, key=KEY), {"*": N01}, name="a")
    with pytest.raises(ValueError, match=r"at least 2 axes.*got shape \(4,\)"):
        seed(attention, 0)(jnp.ones(4), jnp.ones(4), jnp.ones(4))
    cell = lift(eqx.nn.GRUCell(3, 4, key=KEY), {"*": N01}, name="c")
    with pytest.raises(ValueError, match=r"same batch axes, got \[\(5,\), \(6,\)\]"):
        seed(cell, 0)(jnp.ones((5, 3)), jnp.ones((6, 4)))


def test_draw_in_a_plate():
    net = lift(MLP, {"*": N01}, name="net")

    def model():
        with numpyro.plate("groups", 2):
            net.draw()

    with pytest.raises(ValueError, match="`draw` gives one module"):
        seed(model, 0)()


@pytest.mark.parametrize(
    ("table", "bad"),
    [
        ({"weight": dist.Laplace(0, 1), "bias": N01}, "weight"),
        ({"weight": N01, "bias": None}, "bias"),
    ],
)
def test_marginal_without_normal_priors(table, bad):
    layer = lift(LINEAR, table, name="f")
    with pytest.raises(
        ValueError, match=f"needs normal priors of all parameters, and {bad}"
    ):
        seed(lambda: layer.marginal(jnp.ones((5, 3)), 0.1), 0)()
