"""Flipout and local reparameterization: where they act, where they do not, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import replay, seed, trace
from numpyro.infer import (
    MCMC,
    NUTS,
    SVI,
    Predictive,
    RenyiELBO,
    Trace_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)
from numpyro.infer.autoguide import AutoDelta, AutoMultivariateNormal, AutoNormal

from numpyro_bayeslayers.handlers import flipout, local_reparameterization, mc_dropout, tie
from numpyro_bayeslayers.layers import (
    DenseFlipout,
    DenseLocalReparameterization,
    DenseReparameterization,
)
from tests.quick import mostly_slow

ESTIMATORS = [flipout, local_reparameterization]
X = jax.random.normal(jax.random.key(0), (16, 3))
Y = jnp.sin(X[:, 0])


def network(x, y=None):
    h = jnp.tanh(DenseReparameterization(3, 4, name="hidden")(x))
    f = numpyro.deterministic("f", DenseReparameterization(4, 1, name="out")(h)[..., 0])
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Normal(f, 0.3), obs=y)


SHAPES = {
    "hidden.weight": (3, 4),
    "hidden.bias": (4,),
    "out.weight": (4, 1),
    "out.bias": (1,),
    "a.weight": (3, 3),
    "a.bias": (3,),
}


def guide_of(*names, deltas=()):
    """A guide without parameters: factorised normals, point masses at `deltas`."""

    def guide(x=None, y=None):
        for name in names:
            loc = jnp.full(SHAPES[name], 0.3)
            fn = dist.Delta(loc) if name in deltas else dist.Normal(loc, 0.5)
            numpyro.sample(name, fn.to_event(loc.ndim))

    return guide


NETWORK = ("hidden.weight", "hidden.bias", "out.weight", "out.bias")
LAYER = ("a.weight", "a.bias")


def guide_trace(names=LAYER):
    return trace(seed(guide_of(*names), 0)).get_trace()


def elbo(model, guide=guide_of(*NETWORK), loss=None, x=X):
    """One evaluation of the objective, without an optimizer."""
    loss = loss or Trace_ELBO()
    return jax.jit(lambda x: loss.loss(jax.random.key(0), {}, model, guide, x, Y))(x)


def first_loss(model, guide):
    """What the stock `SVI` minimizes in its first step."""
    svi = SVI(model, guide, optax.adam(1e-2), Trace_ELBO())

    @jax.jit
    def evaluate(key):
        return svi.evaluate(svi.init(key, X, Y), X, Y)

    return evaluate(jax.random.key(0))


@pytest.mark.parametrize(
    "loss", mostly_slow([Trace_ELBO(), TraceMeanField_ELBO(), TraceGraph_ELBO()], 2)
)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_acts_in_every_elbo(estimator, loss):
    handled = elbo(estimator(network), loss=loss)
    assert np.isfinite(handled)
    assert handled != elbo(network, loss=loss)


def test_acts_under_a_stock_svi_and_guide():
    plain = first_loss(network, AutoNormal(network))
    handled = first_loss(flipout(network), AutoNormal(network))
    assert np.isfinite(handled)
    assert plain != handled


def test_flipout_is_its_formula():
    """With the signs recovered from the draws, the output is the formula, row by row."""
    layer, drawn = DenseReparameterization(3, 3, name="a"), guide_trace()
    w, b, loc = drawn["a.weight"]["value"], drawn["a.bias"]["value"], jnp.full((3, 3), 0.3)
    rest = np.asarray(replay(seed(flipout(layer), 1), drawn)(X) - X @ loc - b)
    step = np.asarray(w - loc)
    signs = np.array(list(np.ndindex(2, 2, 2, 2))) * 2 - 1  # three inputs, overall sign
    for row, x in enumerate(np.asarray(X)):
        candidates = (x * signs[:, :3]) @ step
        assert np.abs(candidates * signs[:, 3:] - rest[row]).min(0).max() < 1e-5
    assert not np.allclose(np.abs(rest), np.abs(X @ step)), "no input sign was flipped"


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_layer_under_its_own_estimator_is_the_handler(estimator):
    """`DenseFlipout` is the plain layer inside `flipout`: equal draws from equal keys."""
    own = {flipout: DenseFlipout, local_reparameterization: DenseLocalReparameterization}
    plain, layer = DenseReparameterization(3, 3, name="a"), own[estimator](3, 3, name="a")
    expected = replay(seed(estimator(plain), 1), guide_trace())(X)
    np.testing.assert_array_equal(replay(seed(layer, 1), guide_trace())(X), expected)
    assert not np.allclose(replay(seed(plain, 1), guide_trace())(X), expected)


@pytest.mark.parametrize(
    ("estimator", "guide"),
    [(flipout, AutoDelta), (local_reparameterization, AutoMultivariateNormal)],
)
@pytest.mark.filterwarnings("ignore:.*left out.*")
def test_exact_plain_value_under_other_guides(estimator, guide):
    assert first_loss(estimator(network), guide(network)) == first_loss(
        network, guide(network)
    )


def test_exact_plain_value_under_nuts_and_predictive():
    def draws(model):
        mcmc = MCMC(NUTS(model), num_warmup=2, num_samples=3, progress_bar=False)
        mcmc.run(jax.random.key(0), X, Y)
        return mcmc.get_samples()

    plain, handled = draws(network), draws(flipout(local_reparameterization(network)))
    for name, values in plain.items():
        np.testing.assert_array_equal(handled[name], values)

    def predict(model):
        return Predictive(model, posterior_samples=plain)(jax.random.key(1), X)["y"]

    np.testing.assert_array_equal(
        predict(flipout(local_reparameterization(network))), predict(network)
    )


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_says_once_what_it_left_out(estimator):
    handled = estimator(network)
    deltas = guide_of(*NETWORK, deltas=NETWORK)
    with pytest.warns(UserWarning, match=r"left out hidden.weight, out.weight: the guide"):
        elbo(handled, deltas)
    elbo(handled, deltas)  # a second warning would be an error


def test_says_that_it_found_nothing():
    def model(x, y=None):
        w = numpyro.sample("a.bias", dist.Normal(0, 1).expand([3]).to_event(1))
        numpyro.sample("y", dist.Normal(x @ w, 1.0).to_event(1), obs=y)

    with pytest.warns(UserWarning, match="`flipout` found no linear operation"):
        elbo(flipout(model), guide_of("a.bias"))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_names_the_one_layer_left_out(estimator):
    with pytest.warns(UserWarning, match="left out out.weight: the guide"):
        elbo(estimator(network), guide_of(*NETWORK, deltas=("out.weight",)))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_refuses_importance_weighted_objectives(estimator):
    with pytest.raises(
        ValueError, match="cannot be used with RenyiELBO and several particles"
    ):
        elbo(estimator(network), loss=RenyiELBO(num_particles=3))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_zero_rows_have_finite_gradients(estimator):
    """The output of an all-zero row without bias has variance zero."""
    layer = DenseReparameterization(3, 1, bias=False, name="a")

    def model(x, y=None):
        f = layer(x)[..., 0]
        with numpyro.plate("rows", x.shape[0]):
            numpyro.sample("y", dist.Normal(f, 1.0), obs=y)

    def objective(loc, x):
        def guide(x, y=None):
            numpyro.sample("a.weight", dist.Normal(loc, jnp.exp(loc)).to_event(2))

        return elbo(estimator(model), guide, x=x)

    for x in (X.at[::2].set(0.0), jnp.zeros_like(X)):
        grad = jax.grad(objective)(jnp.full((3, 1), 0.1), x)
        assert jnp.isfinite(grad).all()
        assert (grad != 0).any() or not x.any()


def tied(x, y=None):
    with tie(DenseReparameterization(3, 3, name="a")) as layer:
        f = layer(jnp.tanh(layer(x)))[..., 0]
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Normal(f, 0.3), obs=y)


def test_local_reparameterization_refuses_tied_weights():
    with pytest.raises(ValueError, match=r"'a\.weight' is used twice"):
        elbo(local_reparameterization(tied), guide_of(*LAYER))


def test_flipout_reuses_signs_of_tied_weights():
    """Twice the same layer on the same rows gives the same rows."""

    def model(x, y=None):
        with tie(DenseReparameterization(3, 3, name="a")) as layer:
            return layer(x), layer(x)

    once, again = replay(seed(flipout(model), 1), guide_trace())(X)
    np.testing.assert_array_equal(once, again)
    assert np.isfinite(elbo(flipout(tied), guide_of(*LAYER)))


def test_flipout_refuses_tied_weights_on_other_rows():
    def model(x, y=None):
        with tie(DenseReparameterization(3, 3, name="a")) as layer:
            return layer(x), layer(x[:4])

    with pytest.raises(ValueError, match=r"signs of shapes \(16, 3\) and \(4, 3\)"):
        replay(seed(flipout(model), 1), guide_trace())(X)


@pytest.mark.parametrize(
    ("layer", "match"),
    [
        (DenseFlipout, "signs are not known"),
        (DenseLocalReparameterization, "is used twice"),
    ],
)
def test_own_estimators_refuse_tied_weights(layer, match):
    def model(x, y=None):
        with tie(layer(3, 3, name="a")) as shared:
            return shared(x), shared(x)

    with pytest.raises(ValueError, match=match):
        replay(seed(model, 1), guide_trace())(X)


def test_innermost_estimator_wins():
    inner = replay(seed(flipout(network), 1), guide_trace(NETWORK))
    nested = replay(
        seed(local_reparameterization(flipout(network)), 1), guide_trace(NETWORK)
    )
    f = [trace(model).get_trace(X)["f"]["value"] for model in (inner, nested)]
    np.testing.assert_array_equal(f[0], f[1])


def test_dropout_composes_with_an_estimator():
    assert np.isfinite(elbo(flipout(mc_dropout(network, 0.5))))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_traces_and_predicates_stay_as_they_are(estimator):
    """The message leaves no trace entry, and users' predicates on names still work."""
    plain = trace(seed(network, 0)).get_trace(X, Y)
    handled = trace(seed(estimator(network), 0)).get_trace(X, Y)
    assert list(handled) == list(plain)
    hidden = numpyro.handlers.block(
        seed(estimator(network), 0), hide_fn=lambda site: site["name"] == "out.bias"
    )
    assert "out.bias" not in trace(hidden).get_trace(X, Y)


def test_several_particles():
    assert np.isfinite(elbo(flipout(network), loss=Trace_ELBO(num_particles=4)))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_inside_a_plate(estimator):
    """Groups have their own weights; the gradient estimator sees them all at once."""

    def model(x, y=None):
        with numpyro.plate("groups", 2):
            return DenseReparameterization(3, 3, name="a")(x)

    def guide():
        with numpyro.plate("groups", 2):
            guide_of(*LAYER)()

    drawn = trace(seed(guide, 0)).get_trace()
    out = replay(seed(estimator(model), 1), drawn)(X)
    assert out.shape == (2, 16, 3)
    assert not np.allclose(out[0], out[1])
    assert not np.allclose(out, replay(seed(model, 1), drawn)(X))
