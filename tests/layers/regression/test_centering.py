"""One law in every parametrization, and what gradient estimators see of it."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import replay, seed, substitute, trace
from numpyro.infer.util import log_density

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.handlers import flipout, local_reparameterization, tie
from numpyro_bayeslayers.layers.regression._walk import walk_basis
from numpyro_bayeslayers.primitives import scope

X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)))
FAMILIES = [
    (dist.Normal, {"loc": 0.4}),
    (dist.Laplace, {"loc": -0.3}),
    (dist.StudentT, {"df": 3.0, "loc": 0.2}),
    (dist.StudentT, {"df": 3.0}),  # the location by the family's default
    (dist.Cauchy, {"loc": 0.0}),
    (dist.Logistic, {"loc": 1.0}),
    (dist.Gumbel, {"loc": 0.5}),
    (dist.SoftLaplace, {"loc": 0.5}),
    (dist.AsymmetricLaplace, {"loc": 0.5, "asymmetry": 2.0}),
    (dist.Normal, {"loc": np.array([[0.0], [1.0], [2.0]])}),
]


def model(layer, **options):
    return lambda: layer("a", X, **options)


def joint(layer, values, **options):
    return log_density(seed(model(layer, **options), 0), (), {}, values)[0]


@pytest.mark.parametrize("centered", [False, 0.4])
@pytest.mark.parametrize(("family", "settings"), FAMILIES)
def test_joint_law_is_that_of_centered_coefficients(family, settings, centered):
    """p(scale, base) = p(scale, beta) |d beta / d base|, exactly."""
    layer = layers.AdaptiveLayer(dist.LogNormal, family, settings, {"loc": 0.3}, centered)
    with jax.enable_x64(True):
        sites = trace(seed(model(layer, units=2), 1)).get_trace()
        values = {name: s["value"] for name, s in sites.items()}
        scale, beta = values["a.scale"], values["a.beta"]
        truth = dist.LogNormal(0.3).log_prob(scale).sum()
        truth += family(**settings, scale=scale).log_prob(beta).sum()
        stretch = (1.0 - centered) * 3 * jnp.log(scale).sum()
        del values["a.beta"]
        np.testing.assert_allclose(
            joint(layer, values, units=2), truth + stretch, rtol=1e-9
        )


@pytest.mark.parametrize(
    ("family", "settings", "centered"),
    [
        (dist.Normal, {"loc": 0.0}, True),
        (dist.LogNormal, {"loc": 0.0}, False),  # of positive numbers: it has no base
        (dist.HalfNormal, {}, False),
    ],
)
def test_drawn_themselves(family, settings, centered):
    layer = layers.AdaptiveLayer(coef_dist=family, coef_kwargs=settings, centered=centered)
    sites = trace(seed(model(layer), 0)).get_trace()
    assert {name: s["type"] for name, s in sites.items()} == {
        "a.scale": "sample",
        "a.beta": "sample",
    }
    scale, beta = (sites[name]["value"] for name in sites)
    expected = family(**settings, scale=scale).log_prob(beta).sum()
    np.testing.assert_allclose(sites["a.beta"]["fn"].log_prob(beta), expected, rtol=1e-5)


def test_ready_distributions():
    """A ready one is the class with its arguments; its scale multiplies the drawn one."""
    ready = layers.AdaptiveLayer(dist.HalfNormal(2.0), dist.StudentT(3.0, 0.5, 2.0))
    plain = layers.AdaptiveLayer(
        dist.HalfNormal, dist.StudentT, {"df": 3.0, "loc": 0.5}, {"scale": 2.0}
    )
    values = {"a.scale": jnp.ones(1), "a.beta_base": jnp.ones((3, 1))}
    twice = {**values, "a.scale": 2 * jnp.ones(1)}
    np.testing.assert_allclose(
        seed(substitute(model(ready), values), 0)(),
        seed(substitute(model(plain), twice), 0)(),
        rtol=1e-6,
    )
    with jax.enable_x64(True):
        prior = trace(seed(model(ready), 0)).get_trace()["a.scale"]["fn"]
    np.testing.assert_allclose(prior.variance, dist.HalfNormal(2.0).variance)
    fixed = layers.FixedPriorLayer(dist.Normal(np.array([[0.0], [1.0], [2.0]]), 0.1))
    np.testing.assert_allclose(
        trace(seed(model(fixed, units=2), 0)).get_trace()["a.beta"]["fn"].mean,
        [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]],
    )


def test_layers_of_equal_priors_are_equal():
    """So that jitted functions of layers compile once, however often a layer is made."""

    def make(loc):
        prior = dist.Normal(jnp.array([loc]), 1.0)
        return layers.AdaptiveLayer(coef_dist=prior), layers.FixedPriorLayer(prior)

    structures = [jax.tree.structure(make(loc)) for loc in (0.0, 0.0, 1.0)]
    assert structures[0] == structures[1] != structures[2]
    assert hash(structures[0]) == hash(structures[1])


def test_hyperparameters_may_be_sites():
    def nested(x):
        width = numpyro.sample("width", dist.HalfNormal(1.0))
        return layers.FixedPriorLayer(dist.Normal, {"loc": 0.0, "scale": width})("a", x)

    sites = trace(seed(nested, 0)).get_trace(X)
    np.testing.assert_allclose(
        sites["a.beta"]["fn"].variance, sites["width"]["value"] ** 2, rtol=1e-6
    )
    jax.jit(lambda key: seed(nested, key)(X))(jax.random.key(0))


@pytest.mark.parametrize("centered", [False, True, 0.5])
def test_coefficients_given_from_outside_are_obeyed(centered):
    def scoped():
        with scope(prefix="net"):
            return layers.AdaptiveLayer(centered=centered)("a", X)

    beta = jnp.array([[1.0], [0.0], [-2.0]])
    out = seed(substitute(scoped, {"net.a.beta": beta}), 0)()
    np.testing.assert_allclose(out, X @ beta, rtol=1e-6)


class TestRandomWalk:
    T = 7
    times = jnp.array([0, 6, 3, 3])

    def trace(self, *settings, **options):
        layer = layers.RandomWalkLayer(dist.LogNormal, *settings, **options)
        with jax.enable_x64(True):
            sites = trace(seed(layer, 3)).get_trace("a", self.times, self.T, 2)
            out = seed(layer, 3)("a", self.times, self.T, 2)
        return {name: np.asarray(s["value"]) for name, s in sites.items()}, out

    @pytest.mark.parametrize("centered", [False, True, 0.5])
    @pytest.mark.parametrize("family", [dist.Normal, dist.Laplace])
    def test_walk_is_the_sum_of_its_steps(self, family, centered):
        values, out = self.trace(
            family, {"loc": 0.1}, {"loc": 0.0, "scale": 1.0}, centered=centered
        )
        walk = np.zeros((self.T, 2))
        for t in range(self.T):
            walk[t] = sum(values["a.delta"][s] for s in range(t + 1))
        np.testing.assert_allclose(values["a.theta"], walk)
        np.testing.assert_allclose(out, walk[self.times])

    @pytest.mark.parametrize("centered", [False, True, 0.5])
    def test_law_is_that_of_independent_steps(self, centered):
        """p(scale, base) = p(scale) prod N(delta; loc, scale) |d delta / d base|."""
        settings = (dist.Normal, {"loc": 0.1}, {"loc": 0.0, "scale": 1.0})
        values, _ = self.trace(*settings, centered=centered)
        scale = values["a.scale"]
        layer = layers.RandomWalkLayer(dist.LogNormal, *settings, centered=centered)
        latent = {name: values[name] for name in ("a.scale", "a.delta_base")}
        with jax.enable_x64(True):
            run = lambda: layer("a", self.times, self.T, 2)
            found = log_density(seed(run, 0), (), {}, latent)[0]
            truth = dist.LogNormal().log_prob(scale)
            truth += dist.Normal(0.1, scale).log_prob(values["a.delta"]).sum()
            truth = float(truth)
        stretch = (1 - centered) * 2 * self.T * np.log(scale)
        np.testing.assert_allclose(found, truth + stretch, rtol=1e-9)

    @pytest.mark.parametrize("num_steps", [1, 2, 60])
    def test_basis(self, num_steps):
        """Orthogonal, with the right singular vectors of the summing matrix."""
        basis = walk_basis(num_steps)
        lower = np.tril(np.ones((num_steps, num_steps)))
        np.testing.assert_allclose(basis.T @ basis, np.eye(num_steps), atol=1e-12)
        _, lengths, vectors = np.linalg.svd(lower)
        np.testing.assert_allclose(np.linalg.norm(lower @ basis, axis=0), lengths)
        np.testing.assert_allclose(abs((vectors * basis.T).sum(1)), 1.0)
        variance = np.square(lower @ basis).sum(1)
        np.testing.assert_allclose(variance, 1.0 + np.arange(num_steps))  # t lambda^2

    def test_one_step(self):
        layer = layers.RandomWalkLayer()
        sites = trace(seed(layer, 0)).get_trace("a", jnp.zeros(2, int), 1)
        assert sites["a.theta"]["value"].shape == (1, 1)
        np.testing.assert_allclose(
            abs(sites["a.theta"]["value"]),
            sites["a.scale"]["value"] * abs(sites["a.delta_base"]["value"]),
            rtol=1e-6,
        )


def linear_terms(x):
    return layers.AdaptiveLayer()("a", x, units=2)


def effects(x):
    return layers.EmbeddingLayer(centered=0.5)("a", jnp.arange(6) // 2, 3, 2)


def walk(x):
    return layers.RandomWalkLayer()("a", jnp.arange(6) // 2, 3, 2)


def plain_walk(x):
    return layers.RandomWalkLayer(coef_dist=dist.Laplace)("a", jnp.arange(6) // 2, 3, 2)


def bilinear(x):
    return layers.BilinearLayer(coef_kwargs={"loc": 0.3})("a", x, x[:, :2], 2)


def low_rank(x):
    return layers.LowRankBilinearLayer()("a", x, x[:, :2], 2, 2)


@pytest.mark.parametrize(
    ("estimator", "terms"),
    [
        (local_reparameterization, linear_terms),
        (local_reparameterization, effects),
        (local_reparameterization, walk),
        (local_reparameterization, plain_walk),
        (local_reparameterization, bilinear),
        (local_reparameterization, low_rank),
        (flipout, walk),
        (flipout, low_rank),
    ],
)
def test_estimators_keep_the_law_of_a_row(estimator, terms):
    """Mean and variance of each row, given the scale, against those of plain draws.

    Over 4,000 draws none of the 24 numbers is 5 standard errors off (false-alarm rate about
    1e-5 each; the products' tails are light).
    """
    base = trace(seed(terms, 0)).get_trace(X)
    locs = {n: 0.1 * s["value"] for n, s in base.items() if n.endswith("base")}

    def guide():
        numpyro.sample("a.scale", dist.Delta(0.7 * jnp.ones_like(base["a.scale"]["value"])))
        for name, loc in locs.items():
            numpyro.sample(name, dist.Normal(0.3 + loc, 0.6).to_event(jnp.ndim(loc)))

    def one(key):
        keys = jax.random.split(key)
        guided = trace(seed(guide, keys[0])).get_trace()
        with warnings.catch_warnings():
            # A gradient estimator that leaves a layer out says so.
            warnings.simplefilter("error")
            models = terms, estimator(terms)
            return [seed(replay(model, guided), keys[1])(X) for model in models]

    keys = jax.random.split(jax.random.key(5), 4000)
    plain, found = (np.asarray(y, np.float64) for y in jax.jit(jax.vmap(one))(keys))
    for moment in (lambda y: y, lambda y: np.square(y - plain.mean(0))):
        a, b = moment(plain), moment(found)
        error = np.sqrt((a.var(0) + b.var(0)) / len(a))
        assert np.all(np.abs(a.mean(0) - b.mean(0)) < 5 * error)
    assert np.all(np.abs(plain - found).mean(0) > 0.01)
    same, other = (np.corrcoef(y[:, 0, 0], y[:, 1, 0])[0, 1] for y in (plain, found))
    assert abs(other) < abs(same) + 0.1


def test_factorization_machines_are_left_alone():
    def pairs(x):
        return layers.FMLayer()("a", x, low_rank_dim=2)

    expected = seed(pairs, 0)(X)
    np.testing.assert_array_equal(seed(local_reparameterization(pairs), 0)(X), expected)


def test_tied_calls_share_coefficients():
    layer = layers.AdaptiveLayer()

    def twice(x):
        with tie(layer) as shared:
            return shared("a", x), shared("a", 2 * x)

    once, doubled = seed(twice, 0)(X)
    np.testing.assert_allclose(doubled, 2 * once, rtol=1e-6)
