"""Layers of sparse coefficients: priors, inclusions, what they refuse."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.funsor import config_enumerate, enum
from numpyro.contrib.funsor.infer_util import log_density as enumerated_log_density
from numpyro.handlers import seed, substitute, trace
from numpyro.infer import MCMC, NUTS, SVI, TraceEnum_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.util import log_density
from scipy import integrate, stats

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.layers import expected_sparsity, inclusion_probabilities

from .draws import run

pytestmark = pytest.mark.usefixtures("as_users_run")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 6))
X[:, 1] = 0.8 * X[:, 0] + 0.6 * X[:, 1]
Y = X @ np.array([0.6, 0.0, 0.0, 0.4, 0.0, 0.0]) + RNG.normal(size=30)
WAYS = np.array(list(itertools.product((0, 1), repeat=6)))
EXACT = layers.SpikeAndSlabLayer(1.0, 2.0, inclusion="exact")


def close(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


class TestHorseshoe:
    @pytest.mark.parametrize("units", [1, 2])
    def test_plain(self, units):
        out, v, sites = run(layers.HorseshoeLayer(global_scale=0.1), X, units=units)
        assert list(sites) == [f"a.{s}" for s in ("tau", "lambda", "beta_base", "beta")]
        assert sites["a.tau"].event_shape == (units,)
        assert sites["a.lambda"].event_shape == (6, units)
        for i, u in np.ndindex(6, units):
            scale = v["tau"][u] * v["lambda"][i, u]
            close(v["beta"][i, u], scale * v["beta_base"][i, u])
        close(out, X @ v["beta"])
        halves = stats.halfcauchy(scale=0.1).logpdf(v["tau"]).sum()
        assert sites["a.tau"].log_prob == pytest.approx(halves, rel=1e-5)
        local = stats.halfcauchy.logpdf(v["lambda"]).sum()
        assert sites["a.lambda"].log_prob == pytest.approx(local, rel=1e-5)

    def test_regularized(self):
        layer = layers.HorseshoeLayer(slab_scale=1.5, slab_df=3.0, centered=True)
        _, v, sites = run(layer, X, units=2)
        assert list(sites) == [f"a.{s}" for s in ("tau", "lambda", "c2", "beta")]
        tau, local, c2 = v["tau"], v["lambda"], v["c2"]
        shrunk = np.sqrt(c2 * local**2 / (c2 + tau**2 * local**2))
        normal = stats.norm(scale=tau * shrunk).logpdf(v["beta"]).sum()
        assert sites["a.beta"].log_prob == pytest.approx(normal, rel=1e-5)
        slab = stats.invgamma(1.5, scale=1.5 * 1.5**2).logpdf(c2).sum()
        assert sites["a.c2"].log_prob == pytest.approx(slab, rel=1e-5)

    def test_scales_that_overflow_when_squared(self):
        layer = layers.HorseshoeLayer(slab_scale=2.0)
        values = {
            "a.tau": jnp.array([1e15]),
            "a.lambda": jnp.array([[1e15], [1e-30]]),
            "a.c2": jnp.array([4.0]),
            "a.beta_base": jnp.ones((2, 1)),
        }
        fixed = substitute(lambda x: layer("a", x), values)
        np.testing.assert_allclose(seed(fixed, 0)(jnp.eye(2)), [[2.0], [1e-15]], rtol=1e-5)

    def test_expected_sparsity(self):
        """The scale of equation 3.12, and what it stands for: p0 coefficients that matter.

        With shrinkage factors 1 / (1 + n tau^2 lambda^2 / sigma^2), the expected number of
        unshrunk coefficients at that tau is p0, by quadrature.
        """
        assert expected_sparsity(5, 105, 100, 2.0) == pytest.approx(5 / 100 * 2.0 / 10)
        d, n, sigma = 40, 50, 1.3
        tau = expected_sparsity(4, d, n, sigma)
        gain = n * tau**2 / sigma**2
        density = lambda a: 2 / np.pi / (1 + a**2) * gain * a**2 / (1 + gain * a**2)
        share = integrate.quad(density, 0, np.inf)[0]
        assert d * share == pytest.approx(4.0, rel=1e-6)

    def test_expected_sparsity_of_a_drawn_noise(self):
        def model(x):
            sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
            tau0 = expected_sparsity(2, 6, 30, sigma)
            return layers.HorseshoeLayer(global_scale=tau0)("a", x)

        assert jax.jit(lambda key: seed(model, key)(X))(jax.random.key(0)).shape == (30, 1)

    @pytest.mark.slow
    def test_a_noise_for_each_plate(self):
        """Inside a plate, a drawn noise is each cell's own."""

        def model(x, sigma):
            tau0 = expected_sparsity(2, 6, 30, sigma)
            f = layers.HorseshoeLayer(global_scale=tau0, centered=True)("a", x)
            return f + layers.R2D2Layer(centered=True)("b", x, sigma=sigma)

        def plated(x):
            with numpyro.plate("groups", 3):
                return model(x, numpyro.sample("sigma", dist.HalfNormal(1.0)))

        sites = trace(seed(plated, 0)).get_trace(X)
        values = {n: s["value"] for n, s in sites.items() if s["type"] == "sample"}
        together = log_density(plated, (X,), {}, values)[0]
        alone = []
        for cell in range(3):
            sigma = values["sigma"][cell]
            mine = {n: v[cell] for n, v in values.items() if n != "sigma"}
            alone.append(log_density(model, (X, sigma), {}, mine)[0])
            alone.append(dist.HalfNormal(1.0).log_prob(sigma))
        np.testing.assert_allclose(together, sum(alone), rtol=1e-4)

    @pytest.mark.parametrize(
        ("make", "match"),
        [
            (lambda: expected_sparsity(5, 5, 10, 1.0), "`p0` must be below `d`=5, got 5"),
            (lambda: expected_sparsity(0, 5, 10, 1.0), "`p0` must be positive"),
            (lambda: expected_sparsity(1, 5, 10, 0.0), "`sigma` must be positive"),
            (lambda: layers.HorseshoeLayer(global_scale=0.0), "`global_scale` must be pos"),
            (
                lambda: layers.HorseshoeLayer(slab_scale=-1.0),
                "`slab_scale` must be positive",
            ),
            (lambda: layers.HorseshoeLayer(slab_df=0.0), "`slab_df` must be positive"),
            (
                lambda: layers.R2D2Layer(mean_r2=1.0),
                "`mean_r2` must be above 0 and below 1",
            ),
            (
                lambda: layers.R2D2Layer(concentration=0.0),
                "`concentration` must be positive",
            ),
            (lambda: layers.SpikeAndSlabLayer(alpha=0.0), "`alpha` must be positive"),
            (
                lambda: layers.SpikeAndSlabLayer(inclusion="exakt"),
                "`inclusion` must be one of .* Did you mean 'exact'",
            ),
        ],
    )
    def test_refuses(self, make, match):
        with pytest.raises(ValueError, match=match):
            make()


def test_r2d2():
    out, v, sites = run(layers.R2D2Layer(0.3, 4.0, 0.7), X, units=2, sigma=1.7)
    assert list(sites) == [f"a.{s}" for s in ("r2", "phi", "beta_base", "beta")]
    for i, u in np.ndindex(6, 2):
        odds = v["r2"][u] / (1 - v["r2"][u])
        scale = 1.7 * np.sqrt(v["phi"][u, i] * odds)
        close(v["beta"][i, u], scale * v["beta_base"][i, u])
    close(out, X @ v["beta"])
    beta = stats.beta(0.3 * 4, 0.7 * 4).logpdf(v["r2"]).sum()
    assert sites["a.r2"].log_prob == pytest.approx(beta, rel=1e-5)
    shares = sum(stats.dirichlet([0.7] * 6).logpdf(row / row.sum()) for row in v["phi"])
    assert sites["a.phi"].log_prob == pytest.approx(shares, rel=1e-5)


def test_r2d2_states_the_share_of_explained_variance():
    """Given r2, Var(x beta) over coefficients and unit columns is sigma^2 r2 / (1 - r2)."""
    _, v, _ = run(layers.R2D2Layer(), X, units=3, sigma=2.0)
    scales = v["beta"] / v["beta_base"]
    np.testing.assert_allclose(np.square(scales).sum(0), 4 * v["r2"] / (1 - v["r2"]))


@pytest.mark.parametrize("units", [1, 2])
def test_gates(units):
    out, v, sites = run(layers.SpikeAndSlabLayer(0.5, 2.0), X, units=units)
    assert list(sites) == ["a.z", "a.beta"]
    assert all(site.event_shape == (6, units) for site in sites.values())
    expected = np.zeros((30, units))
    for n, u, i in np.ndindex(30, units, 6):
        expected[n, u] += X[n, i] * v["z"][i, u] * v["beta"][i, u]
    close(out, expected)
    gates = stats.beta(0.5, 2.0).logpdf(v["z"]).sum()
    assert sites["a.z"].log_prob == pytest.approx(gates, rel=1e-5)


def in_plate(x, y):
    f = EXACT("f", x)[..., 0]
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Normal(f, 1.0), obs=y)


def in_event(x, y):
    f = EXACT("f", x)[..., 0]
    numpyro.sample("y", dist.Normal(f, 1.0).to_event(1), obs=y)


def units_in_event(x, y):
    f = EXACT("f", x, units=1)
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Normal(f, 1.0).to_event(1), obs=y[:, None])


def beside_others(x, y):
    """Two plates, and another discrete site before."""
    shift = numpyro.sample("shift", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
    f = EXACT("f", x)[..., 0]
    with numpyro.plate("groups", 1, dim=-2), numpyro.plate("rows", x.shape[0], dim=-1):
        numpyro.sample("y", dist.Normal(f + 0.0 * shift, 1.0), obs=y)


class TestExact:
    @pytest.mark.parametrize(
        ("model", "nesting"),
        [(in_plate, 1), (in_event, 0), (units_in_event, 1), (beside_others, 2)],
    )
    def test_enumerated_density(self, model, nesting):
        """The density with inclusions summed out, against the sum written as a loop."""
        with jax.enable_x64(True):
            beta = np.linspace(-1.0, 1.0, 6)
            summed = enum(config_enumerate(model), -1 - nesting)
            values = {"f.beta": jnp.asarray(beta)[:, None]}
            found, _ = enumerated_log_density(summed, (X, Y), {}, values)
            terms = []
            for way in WAYS:
                likelihood = stats.norm(X @ (way * beta)).logpdf(Y).sum()
                terms.append(likelihood + stats.bernoulli(1 / 3).logpmf(way).sum())
            expected = np.logaddexp.reduce(terms) + stats.norm.logpdf(beta).sum()
            np.testing.assert_allclose(found, expected, rtol=1e-9)

    def test_prior_draws(self):
        out, v, sites = run(EXACT, X, units=2)
        assert sites["a.z_0_1"].infer["enumerate"] == "parallel"
        z = np.array([[v[f"z_{i}_{u}"] for u in range(2)] for i in range(6)])
        close(out, X @ (z * v["beta"]))

    def test_inclusion_probabilities_given_draws(self):
        """The mean over draws of the conditional probabilities, as loops."""
        with jax.enable_x64(True):
            draws = RNG.normal(size=(2, 3, 6, 1))  # chains and draws
            found = inclusion_probabilities(EXACT, "f", {"f.beta": draws}, in_plate, X, Y)
            expected = np.zeros(6)
            for beta in draws.reshape(6, 6):
                logs = [
                    stats.norm(X @ (way * beta)).logpdf(Y).sum()
                    + stats.bernoulli(1 / 3).logpmf(way).sum()
                    for way in WAYS
                ]
                weights = np.exp(np.array(logs) - max(logs))
                expected += weights @ WAYS / weights.sum() / 6
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-9)

    @pytest.mark.slow
    def test_posterior_by_nuts(self):
        """Inclusion probabilities against 2^6 conjugate regressions.

        The chain's own error is about 0.015 (4 chains of 3,000 draws); 0.06 allows four of
        these.
        """
        evidence = []
        for way in WAYS:
            kept = X * way
            marginal = stats.multivariate_normal(cov=np.eye(30) + kept @ kept.T)
            prior = stats.bernoulli(1 / 3).logpmf(way).sum()
            evidence.append(marginal.logpdf(Y) + prior)
        weights = np.exp(np.array(evidence) - max(evidence))
        exact = weights @ WAYS / weights.sum()
        mcmc = MCMC(
            NUTS(in_plate),
            num_warmup=500,
            num_samples=3000,
            num_chains=4,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(jax.random.key(0), X, Y)
        samples = mcmc.get_samples()
        found = inclusion_probabilities(EXACT, "f", samples, in_plate, X, Y)
        np.testing.assert_allclose(found[:, 0], exact, atol=0.06)

    def test_svi_with_enumeration(self):
        names = [f"f.z_{i}_0" for i in range(6)]
        guide = AutoNormal(numpyro.handlers.block(in_plate, hide=names))
        svi = SVI(in_plate, guide, numpyro.optim.Adam(0.05), TraceEnum_ELBO())
        state = jax.jit(svi.init)(jax.random.key(0), X, Y)
        _, loss = jax.jit(svi.update)(state, X, Y)
        assert jnp.isfinite(loss)

    def test_refuses_many_coefficients(self):
        with pytest.raises(
            ValueError, match=r"at most 12, got 14 .*2\^14 likelihood evaluations"
        ):
            seed(EXACT, 0)("f", jnp.ones((3, 7)), units=2)

    def test_refuses_plates(self):
        """The sum that NumPyro would make of it is wrong, and says nothing."""

        def model():
            with numpyro.plate("groups", 2):
                EXACT("f", jnp.ones((3, 2)))

        with pytest.raises(ValueError, match=r"inside a plate \(`groups` is open\)"):
            seed(model, 0)()

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            (("f", {}, in_plate, X, Y), "`samples` must have 'f.beta', got"),
            (("f", {"f.beta": np.ones((1, 6, 1))}), "`model` must be given"),
            (
                ("f", {"f.beta": np.ones((1, 6, 1))}, beside_others, X, Y),
                "`samples` must have all latent sites, but lacks .'shift'.",
            ),
            (
                ("g", {"g.beta": np.ones((1, 6, 1)), "f.beta": np.ones((1, 6, 1))})
                + (lambda x, y: seed(layers.FixedPriorLayer(), 0)("g", x), X, Y),
                "`model` has no layer with these inclusions: 'g.z_0_0' is not among",
            ),
        ],
    )
    def test_inclusion_probabilities_refuse(self, arguments, match):
        with pytest.raises(ValueError, match=match):
            inclusion_probabilities(EXACT, *arguments)


class TestMixture:
    def test_prior(self):
        layer = layers.SpikeAndSlabLayer(
            1.0, 3.0, dist.Normal, {"loc": 0.0, "scale": 2.0}, "mixture", spike_scale=0.1
        )
        out, v, sites = run(layer, X, units=2)
        assert list(sites) == ["a.beta"]
        close(out, X @ v["beta"])
        density = 0.75 * stats.norm(scale=0.1).pdf(v["beta"])
        density += 0.25 * stats.norm(scale=2.0).pdf(v["beta"])
        assert sites["a.beta"].log_prob == pytest.approx(np.log(density).sum(), rel=1e-5)

    def test_inclusion_probabilities(self):
        layer = layers.SpikeAndSlabLayer(
            1.0, 3.0, dist.Normal(0.0, 2.0), inclusion="mixture"
        )
        beta = np.array([[[0.0], [0.05]], [[0.1], [3.0]]])  # two draws of two coefficients
        slab = 0.25 * stats.norm(scale=2.0).pdf(beta)
        spike = 0.75 * stats.norm(scale=0.02).pdf(beta)
        expected = (slab / (slab + spike)).mean(0)
        found = inclusion_probabilities(layer, "f", {"f.beta": beta})
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            (
                {"coef_dist": dist.Laplace},
                "`coef_dist` must be Normal of location 0.*Laplace",
            ),
            (
                {"coef_dist": dist.Normal(1.0, 1.0)},
                "`coef_dist` must be Normal of location 0",
            ),
            ({"spike_scale": 0.0}, "`spike_scale` must be positive"),
            (
                {"spike_scale": 0.1, "inclusion": "gate"},
                "`spike_scale` is for inclusion='mixture' alone",
            ),
        ],
    )
    def test_refuses(self, arguments, match):
        with pytest.raises(ValueError, match=match):
            layers.SpikeAndSlabLayer(**{"inclusion": "mixture", **arguments})


def test_gates_have_no_inclusion_probabilities():
    with pytest.raises(ValueError, match="'gate' has no inclusion probabilities"):
        inclusion_probabilities(layers.SpikeAndSlabLayer(), "f", {})
