"""Effects of ordered categories and of time, and attention, against loops and oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import replay, seed, substitute, trace
from scipy import stats

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.handlers import local_reparameterization

from .draws import run

pytestmark = pytest.mark.usefixtures("as_users_run")

TIMES = np.array([0, 4, 2, 2])


def close(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


class TestMonotone:
    @pytest.mark.parametrize("units", [1, 2])
    def test_formula(self, units):
        layer = layers.MonotoneLayer(concentration=2.0)
        out, v, sites = run(layer, TIMES, num_categories=5, units=units)
        assert list(sites) == [f"a.{s}" for s in ("scale", "beta_base", "beta", "zeta")]
        assert sites["a.zeta"].event_shape == (units, 4)
        expected = np.zeros((4, units))
        for n, u in np.ndindex(4, units):
            risen = sum(v["zeta"][u, i] for i in range(TIMES[n]))
            expected[n, u] = v["beta"][0, u] * 4 * risen
        close(out, expected)
        shares = sum(stats.dirichlet([2.0] * 4).logpdf(z / z.sum()) for z in v["zeta"])
        assert sites["a.zeta"].log_prob == pytest.approx(shares, rel=1e-5)

    def test_steps_have_one_sign_and_the_mean_beta(self):
        out, v, _ = run(layers.MonotoneLayer(), np.arange(6), num_categories=6)
        steps = np.diff(out[:, 0])
        assert np.all(steps * v["beta"][0] >= 0)
        np.testing.assert_allclose(steps.mean(), v["beta"][0, 0])

    def test_refuses(self):
        with pytest.raises(ValueError, match="`num_categories` must be at least 2, got 1"):
            seed(layers.MonotoneLayer(), 0)("a", np.zeros(3, int), 1)
        with pytest.raises(ValueError, match="`concentration` must be positive"):
            layers.MonotoneLayer(concentration=-1.0)


class TestSeasonal:
    @pytest.mark.parametrize("units", [1, 2])
    def test_formula(self, units):
        layer, x = layers.SeasonalEffectsLayer(), np.linspace(-3.0, 20.0, 7)
        out, v, _ = run(layer, x, period=7.0, num_harmonics=3, units=units)
        assert v["beta"].shape == (6, units)
        expected = np.zeros((7, units))
        for n, u, h in np.ndindex(7, units, 3):
            angle = 2 * np.pi * (h + 1) * x[n] / 7.0
            expected[n, u] += v["beta"][h, u] * np.cos(angle)
            expected[n, u] += v["beta"][3 + h, u] * np.sin(angle)
        np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-12)

    def test_repeats_itself(self):
        layer = layers.SeasonalEffectsLayer()
        x = np.array([1.25, 8.25, 8.25 + 7e6])
        out, _, _ = run(layer, x, period=7.0, num_harmonics=2)
        np.testing.assert_allclose(out, np.repeat(out[:1], 3, axis=0), rtol=1e-6)

    def test_refuses(self):
        with pytest.raises(ValueError, match="`period` must be positive and finite, got 0"):
            seed(layers.SeasonalEffectsLayer(), 0)("a", TIMES, 0.0, 2)
        with pytest.raises(ValueError, match="`num_harmonics` must be a positive integer"):
            seed(layers.SeasonalEffectsLayer(), 0)("a", TIMES, 7.0, 0)


class TestGaussianProcess:
    @pytest.mark.parametrize(
        ("kernel", "exact"),
        [
            (layers.RBFKernel(1.3, 0.4), lambda r: 1.3 * np.exp(-0.5 * r**2 / 0.16)),
            (
                layers.MaternKernel(0.7, 0.5, nu=1.5),
                lambda r: 0.7 * (1 + 3**0.5 * r / 0.5) * np.exp(-(3**0.5) * r / 0.5),
            ),
        ],
    )
    def test_covariance_is_that_of_the_kernel(self, kernel, exact):
        """With many basis functions in a wide box, on the index from -1 to 1."""
        layer = layers.GaussianProcessEffectsLayer(kernel, num_basis=200, boundary=4.0)
        with jax.enable_x64(True):
            base = jnp.eye(200)
            effects = jax.vmap(
                lambda b: seed(
                    substitute(
                        lambda: layer("a", np.arange(9), 9), {"a.beta_base": b[:, None]}
                    ),
                    0,
                )()[:, 0]
            )(base)
            found = np.asarray(effects.T @ effects)
        index = np.linspace(-1.0, 1.0, 9)
        expected = exact(np.abs(index[:, None] - index))
        np.testing.assert_allclose(found, expected, atol=2e-4)

    def test_sites(self):
        layer = layers.GaussianProcessEffectsLayer(num_basis=4)
        out, v, sites = run(layer, TIMES, num_categories=5, units=2)
        assert list(sites) == [
            f"a.{s}" for s in ("kernel.variance", "kernel.lengthscale", "beta_base", "beta")
        ]
        assert v["beta"].shape == (4, 2)
        np.testing.assert_array_equal(out[2], out[3])

    def test_one_category(self):
        layer = layers.GaussianProcessEffectsLayer(num_basis=4)
        assert run(layer, np.zeros(2, int), num_categories=1)[0].shape == (2, 1)

    @pytest.mark.parametrize(
        ("arguments", "error", "match"),
        [
            ({"kernel": "rbf"}, TypeError, "`kernel` must be a kernel of this library"),
            ({"num_basis": 0}, ValueError, "`num_basis` must be a positive integer"),
            ({"boundary": 1.0}, ValueError, "`boundary` must be above 1, got 1.0"),
        ],
    )
    def test_refuses(self, arguments, error, match):
        with pytest.raises(error, match=match):
            layers.GaussianProcessEffectsLayer(**arguments)


class TestAttention:
    x = np.random.default_rng(0).normal(size=(3, 4))

    @pytest.mark.parametrize(("head_dim", "num_heads", "units"), [(3, 2, 2), (1, 1, 1)])
    def test_formula(self, head_dim, num_heads, units):
        h = head_dim * num_heads
        out, v, sites = run(
            layers.AttentionLayer(),
            self.x,
            head_dim=head_dim,
            num_heads=num_heads,
            units=units,
        )
        shapes = {
            "scale_emb": (h,),
            "W_emb_base": (4, h),
            "W_bias_base": (4, h),
            "scale_qkv": (num_heads, head_dim),
            "W_Q_base": (num_heads, h, head_dim),
            "W_K_base": (num_heads, h, head_dim),
            "W_V_base": (num_heads, h, head_dim),
            "scale_out": (units,),
            "W_out_base": (h, units),
        }
        found = {name[2:]: s.event_shape for name, s in sites.items() if s.type == "sample"}
        assert found == shapes
        expected = np.zeros((3, units))
        for n in range(3):
            tokens = np.array(
                [self.x[n, j] * v["W_emb"][j] + v["W_bias"][j] for j in range(4)]
            )
            heads = []
            for a in range(num_heads):
                q, k, value = (tokens @ v[f"W_{letter}"][a] for letter in "QKV")
                gathered = np.zeros((4, head_dim))
                for i in range(4):
                    scores = np.array([q[i] @ k[j] for j in range(4)]) / np.sqrt(head_dim)
                    weights = np.exp(scores - scores.max())
                    gathered[i] = weights @ value / weights.sum()
                heads.append(gathered)
            expected[n] = np.concatenate(heads, axis=1).mean(0) @ v["W_out"]
        close(out, expected)

    def test_fan_in_scaling(self):
        """The priors' scales: divided by the root of the number of inputs, or raw."""
        fans = {"W_emb": 2, "W_bias": 2, "W_Q": 6, "W_K": 6, "W_V": 6, "W_out": 6}
        for is_scaled in (True, False):
            layer = layers.AttentionLayer(fan_in_scaling=is_scaled)
            _, v, _ = run(layer, self.x, head_dim=3, num_heads=2)
            scales = {
                **dict.fromkeys(("W_emb", "W_bias"), v["scale_emb"]),
                **dict.fromkeys(("W_Q", "W_K", "W_V"), v["scale_qkv"][:, None, :]),
                "W_out": v["scale_out"],
            }
            for name, fan_in in fans.items():
                root = np.sqrt(fan_in) if is_scaled else 1.0
                close(v[name], scales[name] / root * v[f"{name}_base"])

    @pytest.mark.parametrize(
        ("is_scaled", "low", "high"), [(True, 0.9, 1.6), (False, 0, 0.1)]
    )
    def test_prior_entropy_of_attention(self, is_scaled, low, high):
        """4 heads of size 32 on 5 columns: mean entropy of the weights, of at most log 5.

        The mean over 50 draws, 4 heads and 5 tokens; its standard error is below 0.05.
        """
        layer = layers.AttentionLayer(fan_in_scaling=is_scaled)
        x = np.ones((1, 5))

        def entropy(key):
            sites = trace(seed(layer, key)).get_trace("a", x, head_dim=32, num_heads=4)
            v = {name[2:]: s["value"] for name, s in sites.items()}
            tokens = x[0][:, None] * v["W_emb"] + v["W_bias"]
            q, k = (jnp.einsum("jh,ahk->ajk", tokens, v[f"W_{s}"]) for s in "QK")
            weight = jax.nn.softmax(jnp.einsum("aik,ajk->aij", q, k) / 32**0.5, axis=-1)
            return jax.scipy.special.entr(weight).sum(-1).mean()

        found = jax.jit(jax.vmap(entropy))(jax.random.split(jax.random.key(0), 50)).mean()
        assert low < found < high, found


@pytest.mark.parametrize(
    ("layer", "arguments", "left_out"),
    [
        (layers.AttentionLayer(), (TestAttention.x,), "a.W_K, a.W_Q, a.W_V: "),
        (layers.SplineLayer(), (TestAttention.x[:, 0], [0.0] * 4 + [1.0] * 4), "a.theta: "),
    ],
)
def test_estimators_say_what_they_leave_out(layer, arguments, left_out):
    """Weights of which a row sees one draw several times, or dependent entries."""

    def model():
        return layer("a", *arguments)

    start = trace(seed(model, 0)).get_trace()

    def guide():
        for name, site in start.items():
            if name.endswith("_base"):
                rank = site["value"].ndim
                numpyro.sample(name, dist.Normal(site["value"], 0.1).to_event(rank))

    guided = trace(seed(guide, 1)).get_trace()
    with pytest.warns(UserWarning, match=f"left out {left_out}"):
        seed(replay(local_reparameterization(model), guided), 2)()
