"""Products in half precision: what is rounded, what is not, and the answers."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import seed
from numpyro.infer.autoguide import AutoDelta
from numpyro.primitives import Messenger

from numpyro_bayeslayers.handlers import flipout, mixed_precision
from numpyro_bayeslayers.infer import EnsembleMAP, EnsembleSVI, log_joint_of
from numpyro_bayeslayers.layers import DenseReparameterization
from numpyro_bayeslayers.primitives import Dense, DenseVector, Lookup, linear

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
Y = (X @ [1.0, -2.0, 0.5] + 0.3 * RNG.normal(size=60)).astype(np.float32)
NOISE = 0.3


def model(x, y=None):
    f = DenseReparameterization(3, 1, bias=False, name="f")(x)[..., 0]
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, NOISE), obs=y)


def posterior():
    """The mean of the posterior under a standard normal prior, in float64."""
    x, y = X.astype(float), Y.astype(float)
    precision = x.T @ x / NOISE**2 + np.eye(3)
    return np.linalg.solve(precision, x.T @ y / NOISE**2)


def products(fn, *args):
    """The types of the operands of all products in a program, and of what they give."""
    found = []

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                found.append([str(v.aval.dtype) for v in equation.invars])
            for value in equation.params.values():
                inner = getattr(value, "jaxpr", value)
                if hasattr(inner, "eqns"):
                    walk(inner)

    walk(jax.make_jaxpr(fn)(*args).jaxpr)
    return found


HALF = ["bfloat16", "bfloat16"]


@pytest.mark.parametrize("outer", [lambda m: m, flipout])
@pytest.mark.parametrize("order", [1, -1])
def test_products_alone_are_rounded(outer, order):
    """Inside or outside of a gradient estimator; the value and its gradient are float32."""
    first, second = (mixed_precision, outer)[::order]
    made = first(second(model))
    values = {"f.weight": jnp.ones((3, 1))}

    def loss(w):
        density, _ = numpyro.infer.util.log_density(
            seed(made, 0), (X, Y), {}, {"f.weight": w}
        )
        return density

    step = jax.value_and_grad(loss)
    value, grad = jax.eval_shape(step, values["f.weight"])
    assert value.dtype == grad.dtype == jnp.float32
    found = products(step, values["f.weight"])
    assert found
    assert all(pair == HALF for pair in found), found


def test_look_ups_are_no_products():
    table = jnp.array([[1 / 3], [2 / 3]])
    look = lambda: linear(jnp.array([1, 0]), table, op=Lookup())
    assert (mixed_precision(look)() == table[::-1]).all()


def test_the_kind_of_a_product_is_known_through_the_rounding():
    kinds = []

    class Note(Messenger):
        def process_message(self, msg):
            if msg["type"] == "linear":
                kinds.append(type(msg["op"].exact))

    weights = jnp.ones(3), jnp.ones((3, 1))
    ops = DenseVector(), Dense()
    x = jnp.asarray(X)
    run = lambda: [linear(x, w, op=op) for w, op in zip(weights, ops, strict=True)]
    with Note():
        mixed_precision(mixed_precision(run))()
    assert kinds == [DenseVector, Dense]


def test_says_that_it_found_nothing():
    def plain(x):
        return x @ jnp.ones((3, 1))

    handled = mixed_precision(plain)
    with pytest.warns(UserWarning, match="found no linear operation"):
        handled(X)
    handled(X)  # once


def test_refuses_another_type():
    with pytest.raises(ValueError, match="`dtype` must be one of"):
        mixed_precision(model, "int8")
    with pytest.raises(ValueError, match="`precision` must be one of"):
        EnsembleSVI(model, AutoDelta, optax.adam(0.1), precision="half")


@pytest.mark.parametrize("kind", ["modes", "variational"])
def test_answers_are_right(kind):
    """The mode of a regression is its posterior's mean, to the rounding of products.

    Inputs are rounded by up to 2^-9 of their size: the solution moves by about as much.
    """
    if kind == "modes":
        init_fn, log_joint = log_joint_of(model, X, Y)
        fit = EnsembleMAP(log_joint, init_fn, optax.adam(0.1), 2, precision="bfloat16")
        name = "f.weight"
    else:
        fit = EnsembleSVI(
            model, AutoDelta, optax.adam(0.1), num_members=2, precision="bfloat16"
        )
        name = "f.weight_auto_loc"
    result = fit.run(0, 300, X, Y, progress_bar=False)
    assert result.losses.dtype == result.params[name].dtype == jnp.float32
    found = np.asarray(result.params[name])[..., 0]
    assert np.abs(found - posterior()).max() < 0.01
    # The loss is that of rounded products, and so another number than in float32.
    plain = EnsembleSVI(model, AutoDelta, optax.adam(0.1), num_members=2)
    start = plain.init(0, X, Y)
    assert plain.update(start, X, Y)[1][0] != fit.run(0, 1, X, Y).losses[0, 0]
