"""Layers as distributions over functions, against dense algebra in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, substitute, trace
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.util import log_density

from numpyro_bayeslayers.handlers import ensemble, flipout
from numpyro_bayeslayers.layers import (
    DenseReparameterization,
    HSGPFeatures,
    OrthogonalRandomFeatures,
    RandomKitchenSinks,
    RBFFourierFeatures,
    RBFKernel,
)

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (9, 2))
X_NEW = RNG.uniform(-1, 1, (4, 2))
FEATURES = RBFFourierFeatures(2, 3)


def kitchen_sinks(out_features):
    layer = RandomKitchenSinks.init(FEATURES, out_features, name="f")
    beta = RNG.normal(size=(6, out_features))
    return RandomKitchenSinks(FEATURES, beta, RNG.normal(size=out_features), layer.name)


LAYERS = {
    "dense": lambda: DenseReparameterization(2, 1, prior_scale=0.7, name="f"),
    "dense without bias": lambda: DenseReparameterization(2, 2, False, 0.7, name="f"),
    "kitchen sinks": lambda: kitchen_sinks(1),
    "kitchen sinks, three outputs": lambda: kitchen_sinks(3),
    "orthogonal": lambda: RandomKitchenSinks.init(
        OrthogonalRandomFeatures.init(2, 3, key=jax.random.key(0)), 1, name="f"
    ),
    "hsgp": lambda: HSGPFeatures.init(2, 3, 2.0, kernel=RBFKernel(), name="f"),
    "hsgp, two outputs": lambda: HSGPFeatures(2, 3, 2.0, RBFKernel(), 2, name="f"),
}


@pytest.fixture(params=LAYERS, ids=list(LAYERS))
def case(request):
    """The layer in double precision, its hyperparameters, and its weights' prior as draws.

    The moments of the function are found through the layer's own call: its weights enter
    linearly, so the outputs at zero weights and at unit weights give the features.
    """
    with jax.enable_x64(True):
        layer = LAYERS[request.param]()
        sites = trace(seed(layer, 1)).get_trace(jnp.asarray(X))
        own = ("weight", "bias", "beta", "alpha")
        weights = {n: s for n, s in sites.items() if n.split(".")[-1] in own}
        fixed = {n: s["value"] for n, s in sites.items() if n not in weights}

        def call(x, values):
            out = seed(substitute(layer, data=fixed | values), 0)(jnp.asarray(x))
            return np.asarray(out).reshape(len(x), -1).T  # (out, n)

        yield layer, fixed, weights, call


def moments(x, weights, call):
    """Mean (out, n) and features (out, n, all weights), scaled by the prior's deviations."""
    zeros = {n: jnp.zeros_like(s["value"]) for n, s in weights.items()}
    base = call(x, zeros)
    columns = []
    mean = base.copy()
    for name, site in weights.items():
        for index in np.ndindex(site["value"].shape):
            unit = zeros | {name: zeros[name].at[index].set(1.0)}
            effect = call(x, unit) - base
            mean += effect * float(
                np.broadcast_to(site["fn"].mean, zeros[name].shape)[index]
            )
            variance = np.broadcast_to(site["fn"].variance, zeros[name].shape)[index]
            columns.append(effect * float(np.sqrt(variance)))
    return mean, np.stack(columns, -1)


def law_of(layer, fixed, method, *args):
    return substitute(seed(getattr(layer, method), 0), data=fixed)(*args)


def test_marginal(case):
    layer, fixed, weights, call = case
    mean, phi = moments(X, weights, call)
    law = law_of(layer, fixed, "marginal", jnp.asarray(X), 0.3)
    covariance = phi @ np.swapaxes(phi, -1, -2) + 0.09 * np.eye(len(X))
    several = len(mean) > 1
    assert law.batch_shape == ((len(mean),) if several else ())
    assert law.event_shape == (len(X),)
    pick = slice(None) if several else 0
    np.testing.assert_allclose(law.mean, mean[pick], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        law.covariance_matrix + jnp.zeros(covariance[pick].shape),
        covariance[pick],
        rtol=1e-9,
    )


def test_condition(case):
    """The predictive law given data is the conditional of the joint normal law."""
    layer, fixed, weights, call = case
    both = np.concatenate([X, X_NEW])
    mean, phi = moments(both, weights, call)
    joint = phi @ np.swapaxes(phi, -1, -2)
    noise = np.linspace(0.2, 0.5, len(X))
    y = RNG.normal(size=(len(mean), len(X)))
    old, new = slice(None, len(X)), slice(len(X), None)
    gain = joint[:, new, old] @ np.linalg.inv(joint[:, old, old] + np.diag(noise**2))
    expected = mean[:, new] + (gain @ (y - mean[:, old])[..., None])[..., 0]
    covariance = joint[:, new, new] - gain @ joint[:, old, new] + 0.01 * np.eye(len(X_NEW))

    pick = slice(None) if len(mean) > 1 else 0
    posterior = law_of(layer, fixed, "condition", jnp.asarray(X), y[pick], noise)
    law = posterior.marginal(jnp.asarray(X_NEW), 0.1)
    np.testing.assert_allclose(law.mean, expected[pick], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(
        law.covariance_matrix, covariance[pick], rtol=1e-8, atol=1e-9
    )


def test_posterior_weights_are_values_of_the_sites(case):
    """The layer called at its sites' posterior means gives the predictive mean."""
    layer, fixed, weights, call = case
    count = call(X, {}).shape[0]
    y = jnp.asarray(RNG.normal(size=(count, len(X)) if count > 1 else len(X)))
    posterior = law_of(layer, fixed, "condition", jnp.asarray(X), y, 0.2)
    values = posterior.sites(posterior.weights.mean)
    assert {n: v.shape for n, v in values.items()} == {
        n: s["value"].shape for n, s in weights.items()
    }
    law = posterior.marginal(jnp.asarray(X_NEW), 0.1)
    np.testing.assert_allclose(call(X_NEW, values), np.atleast_2d(law.mean), atol=1e-9)
    draws = posterior.sites(posterior.weights.sample(jax.random.key(0), (5,)))
    assert all(draws[n].shape == (5,) + v.shape for n, v in values.items())


def model(x, y=None):
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    layer = RandomKitchenSinks.init(FEATURES, 1, name="f")
    numpyro.sample("y", layer.marginal(x, sigma), obs=y)


def test_only_hyperparameters_are_sites():
    sites = trace(seed(model, 0)).get_trace(jnp.asarray(X, jnp.float32))
    assert list(sites) == ["sigma", "f.rff.W", "f.rff.lengthscale", "y"]


def test_evidence_is_the_integral_of_the_likelihood():
    """log p(y | hyperparameters) from SciPy's dense normal density."""
    from scipy.stats import multivariate_normal

    with jax.enable_x64(True):
        x, y = jnp.asarray(X), jnp.asarray(RNG.normal(size=len(X)))
        values = {
            "sigma": jnp.asarray(0.4),
            "f.rff.W": jnp.asarray(RNG.normal(size=(2, 3))),
            "f.rff.lengthscale": jnp.asarray(0.7),
        }
        sites = trace(substitute(seed(model, 0), data=values)).get_trace(x, y)
        found = sites["y"]["fn"].log_prob(y)
        z = X @ np.asarray(values["f.rff.W"]) / 0.7
        phi = np.concatenate([np.cos(z), np.sin(z)], -1) / np.sqrt(3)
        covariance = phi @ phi.T + 1.0 + 0.16 * np.eye(len(X))
        expected = multivariate_normal(np.zeros(len(X)), covariance).logpdf(np.asarray(y))
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_plates_and_ensembles():
    """Inside a plate each cell has its own hyperparameters and its own law."""
    x = jnp.asarray(X, jnp.float32)

    def plated(x, y=None):
        with numpyro.plate("groups", 2):
            sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
            layer = RandomKitchenSinks.init(FEATURES, 1, name="f")
            return numpyro.sample("y", layer.marginal(x, sigma), obs=y)

    y = jnp.asarray(RNG.normal(size=(2, len(X))), jnp.float32)
    for many, prefix in ((plated, "groups"), (ensemble(model, 2), "ensemble")):
        data = y if prefix == "groups" else y[0]
        values = {
            name: site["value"]
            for name, site in trace(seed(many, 0)).get_trace(x, data).items()
            if site["type"] == "sample" and not site["is_observed"]
        }
        density = jax.jit(lambda *args: log_density(*args)[0], static_argnums=0)
        total = density(many, (x, data), {}, values)
        expected = sum(
            density(
                model,
                (x, data[i] if prefix == "groups" else data),
                {},
                {name: value[i] for name, value in values.items()},
            )
            for i in range(2)
        )
        np.testing.assert_allclose(total, expected, rtol=2e-4)


@pytest.mark.slow
def test_estimators_leave_the_marginal_alone():
    """Noise for each row would bias the joint density of the rows: the handler says so."""
    x, y = jnp.asarray(X, jnp.float32), jnp.zeros(len(X))
    guide = AutoNormal(model)
    svi = SVI(model, guide, numpyro.optim.Adam(0.01), Trace_ELBO())
    params = svi.get_params(svi.init(jax.random.key(0), x, y))

    def loss(model):
        return Trace_ELBO().loss(jax.random.key(1), params, model, guide, x, y)

    plain = loss(model)
    with pytest.warns(UserWarning, match="`flipout` found no linear operation"):
        assert loss(flipout(model)) == plain


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda f, x, y: f.marginal(x[0], 0.1), "`x` must be a matrix"),
        (lambda f, x, y: f.marginal(x[:, :1], 0.1), "`x` must have 2 entries"),
        (lambda f, x, y: f.marginal(x, -0.1), "`noise_scale` must be positive"),
        (lambda f, x, y: f.condition(x, y[:3], 0.1), "`y` must have the rows"),
        (lambda f, x, y: f.condition(x, y[:, None], 0.1), r"transpose it to \(out, n\)"),
    ],
)
def test_errors(call, match):
    layer = RandomKitchenSinks.init(FEATURES, 1, name="f")
    x, y = jnp.asarray(X, jnp.float32), jnp.zeros(len(X))
    with pytest.raises(ValueError, match=match), seed(rng_seed=0):
        call(layer, x, y)


def test_several_outputs_in_a_plate_are_refused():
    layer = RandomKitchenSinks.init(FEATURES, 2, name="f")
    with (
        pytest.raises(ValueError, match="one layer for each output"),
        seed(rng_seed=0),
        numpyro.plate("groups", 2),
    ):
        layer.marginal(jnp.asarray(X, jnp.float32), 0.1)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: RandomKitchenSinks.init(jnp.sin, 1), TypeError, "`rff` must be a feature"),
        (lambda: RandomKitchenSinks.init(FEATURES, 0), ValueError, "`out_features`"),
        (
            lambda: RandomKitchenSinks(FEATURES, jnp.zeros((5, 1)), jnp.zeros(1)),
            ValueError,
            r"`init_beta` must have shape \(6, out\)",
        ),
        (
            lambda: RandomKitchenSinks(FEATURES, jnp.zeros((6, 2)), jnp.zeros(1)),
            ValueError,
            r"`init_bias` must have shape \(2\)",
        ),
        (lambda: RBFFourierFeatures(2, 0), ValueError, "`n_features`"),
        (
            lambda: RBFFourierFeatures.init(2, 3, lengthscale=-1.0),
            ValueError,
            "`lengthscale`",
        ),
        (
            lambda: RBFFourierFeatures.init(2, 3, lengthscale=[1.0] * 3),
            ValueError,
            "one for each of the 2 inputs",
        ),
    ],
)
def test_errors_at_construction(make, error, match):
    with pytest.raises(error, match=match):
        make()
