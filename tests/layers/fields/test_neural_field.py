"""The neural field against its formula in NumPy, its prior, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, substitute, trace

from numpyro_bayeslayers.handlers import ensemble, tie
from numpyro_bayeslayers.layers import BayesianNeuralField
from numpyro_bayeslayers.primitives import scope

pytestmark = pytest.mark.usefixtures("as_users_run")


def softplus(z):
    return np.log1p(np.exp(z))


def network(x, v, scales, degrees, pairs, waves, depth, time_col=0):
    """The formula, line by line. `waves` are the harmonics with their periods, written out."""
    u = x / (np.array(scales) * np.exp(v["log_scale_adjustment"]))
    blocks = [u]
    for column, degree in enumerate(degrees):
        angle = [2 * np.pi * 2**d * u[:, column] for d in range(degree)]
        cosines = [np.cos(a) / (d + 1) for d, a in enumerate(angle)]
        sines = [np.sin(a) / (d + 1) for d, a in enumerate(angle)]
        blocks.append(np.array(cosines + sines).T)
    # Products of whole numbers are exact, so is the remainder.
    angle = [2 * np.pi * np.mod(h * x[:, time_col], tau) / tau for h, tau in waves]
    cosines = [np.cos(a) / h for a, (h, _) in zip(angle, waves, strict=True)]
    sines = [np.sin(a) / h for a, (h, _) in zip(angle, waves, strict=True)]
    blocks.append(np.array(cosines + sines).T)
    blocks.append(np.array([u[:, i] * u[:, j] for i, j in pairs]).T)
    blocks = [block for block in blocks if block.size]
    gained = [b * softplus(v[f"feature_gain_{k}"]) for k, b in enumerate(blocks)]
    h = np.concatenate(gained, axis=1)
    alpha = 1 / (1 + np.exp(-v["logit_activation_weight"]))
    for site in [f"layer_{i}" for i in range(depth)] + ["output"]:
        h = h / np.sqrt(h.shape[1])
        z = softplus(v[f"{site}_gain"]) * (h @ v[f"{site}_W"] + v[f"{site}_b"])
        elu = np.where(z > 0, z, np.expm1(np.minimum(z, 0)))
        h = alpha * elu + (1 - alpha) * np.tanh(z)
    return z[:, 0], len(blocks)


FIELDS = {
    "all": (
        ([1000.0, 2.0, 0.5], [0, 3, 1], [(0, 1), (1, 2)], [4.0, 52.1775], [2, 3], 8, 2),
        [(1, 4.0), (2, 4.0), (1, 52.1775), (2, 52.1775), (3, 52.1775)],
    ),
    # 2/14 is 1/7 and 2/28 is 1/14: they enter once, with the first harmonic.
    "shared frequencies": (
        ([4e6, 1.0], [0, 0], [(0, 0)], [7.0, 14.0, 28.0], [2, 3, 2], 5, 1),
        [(1, 7.0), (2, 7.0), (1, 14.0), (3, 14.0), (1, 28.0)],
    ),
    "no seasons": (([3.0], [2], [], [], [], 4, 3), []),
    "only columns": (([3.0, 1.0], [0, 0], [], [9.0], [0], 4, 1), []),
    "continuous time": (([3.0, 1.0], [1, 0], [], [1.0, 0.3], [0.5, 0.1], 4, 2), [(1, 1.0)]),
    "time is last": (
        ([3.0, 1.0, 1.0], [1, 0, 2], [(2, 0)], [12.0], [2], 4, 2, 2),
        [(1, 12.0), (2, 12.0)],
    ),
}
FIELDS["continuous time"][1].append((1, 0.3))


def sites_of(model, x):
    """Shapes of the latent sites; nothing is compiled."""

    def values(key):
        sites = trace(seed(model, key)).get_trace(x)
        return {name: s["value"] for name, s in sites.items() if s["type"] == "sample"}

    return {n: v.shape for n, v in jax.eval_shape(values, jax.random.key(0)).items()}


def drawn(model, x):
    """A value for each site."""
    rng = np.random.default_rng(1)
    return {n: np.float32(rng.logistic(size=s)) for n, s in sites_of(model, x).items()}


def run(model, values, x):
    """The output at given values, compiled in one piece."""
    return jax.jit(lambda v, x: seed(substitute(model, v), 0)(x))(values, x)


@pytest.mark.parametrize("case", FIELDS)
def test_formula(case):
    settings, waves = FIELDS[case]
    field = BayesianNeuralField(*settings, name="f")
    scales, degrees, pairs, _, _, width, depth, *time_col = settings
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, len(scales))).astype(np.float32)
    column = time_col[0] if time_col else 0
    x[:, column] = np.round(scales[column] * rng.uniform(0, 1, 6) + 0.25)
    values = drawn(field, x)
    double = {name.removeprefix("f."): v.astype(float) for name, v in values.items()}
    expected, blocks = network(
        x.astype(float), double, scales, degrees, pairs, waves, depth, column
    )
    np.testing.assert_allclose(run(field, values, x), expected, rtol=1e-5, atol=1e-5)
    shapes = {"log_scale_adjustment": (len(scales),), "logit_activation_weight": ()}
    shapes |= {f"feature_gain_{k}": () for k in range(blocks)}
    ins = [field.num_features, *(depth - 1) * [width]]
    for site, fan_in in [
        *((f"layer_{i}", n) for i, n in enumerate(ins)),
        ("output", width),
    ]:
        out = 1 if site == "output" else width
        shapes |= {f"{site}_W": (fan_in, out), f"{site}_b": (out,), f"{site}_gain": ()}
    assert {name: v.shape for name, v in double.items()} == shapes


def field_of_width(width, depth):
    return BayesianNeuralField([1.0, 2.0], [0, 1], [], [], [], width, depth, name="f")


def test_priors_are_logistic():
    x = np.ones((3, 2), np.float32)
    model = substitute(field_of_width(4, 1), drawn(field_of_width(4, 1), x))
    for name, site in trace(seed(model, 0)).get_trace(x).items():
        prior = site["fn"]
        while not isinstance(prior, dist.Logistic):
            prior = prior.base_dist
        assert (float(prior.loc), float(prior.scale)) == (0.0, 1.0), name


def test_prior_does_not_grow_with_width():
    """With one hidden layer, the second moment of the prior is one number for all widths.

    Gains and activation are held, which leaves sums with light tails. The score is beyond
    4.5 with probability 7e-6 by chance. Without the division by the square root of the
    fan-in the moments would differ by a factor of 16.
    """
    x = np.array([[0.3, -1.2]], np.float32)

    def squares(width):
        field, rng = field_of_width(width, 1), np.random.default_rng(width)
        values = {
            name: np.zeros(1500)
            if "gain" in name or "logit" in name
            else rng.logistic(size=(1500, *shape))
            for name, shape in sites_of(field, x).items()
        }
        values = jax.tree.map(np.float32, values)
        return jax.jit(jax.vmap(lambda v: seed(substitute(field, v), 0)(x)[0] ** 2))(values)

    narrow, wide = (np.asarray(squares(width)) for width in (4, 64))
    score = (narrow.mean() - wide.mean()) / np.sqrt((narrow.var() + wide.var()) / 1500)
    assert abs(score) < 4.5, score


def test_layers_by_hand():
    """The layers one after another are the field, sites and all."""
    field = BayesianNeuralField([2.0, 1.0], [0, 2], [(0, 1)], [4.0], [2], 6, 3, name="f")
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)

    def by_hand(x):
        with scope(prefix=field.prefix), tie():
            for layer in field.layers:
                x = layer(x)
        return x[..., 0]

    assert sites_of(by_hand, x) == sites_of(field, x)
    values = drawn(field, x)
    np.testing.assert_allclose(
        run(by_hand, values, x), run(field, values, x), rtol=1e-5, atol=1e-6
    )
    sizes = [(layer.in_features, layer.out_features) for layer in field.layers]
    assert sizes == [(2, 6), (6, 6), (6, 6), (6, 1)]


def test_seasons_by_a_clock_of_their_own():
    """A clock that shows the time changes nothing; one an hour off moves the seasons alone."""
    settings = [2.0, 1.0], [0, 2], [(0, 1)], [4.0], [2], 6, 2
    plain = BayesianNeuralField(*settings, name="f")
    clocked = BayesianNeuralField(*settings, use_clock=True, name="f")
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    values = drawn(plain, x)
    clock = lambda shift: np.column_stack([x, x[:, 0] + np.float32(shift)])
    assert sites_of(clocked, clock(0)) == sites_of(plain, x)
    assert (clocked.in_features, clocked.num_features) == (3, plain.num_features)
    expected = run(plain, values, x)
    for shift in (0, 4):
        found = run(clocked, values, clock(shift))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(run(clocked, values, clock(1)) - expected).min() > 1e-3
    gain = next(
        n for n in values if n.endswith("feature_gain_2")
    )  # columns, waves, seasons
    still = values | {gain: np.float32(-100.0)}
    found, expected = run(clocked, still, clock(1)), run(plain, still, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_ensemble_of_fields():
    field = field_of_width(3, 2)
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    values = drawn(ensemble(field, 2), x)
    together = run(ensemble(field, 2), values, x)
    own = sites_of(field, x)
    for member in range(2):
        alone = {name: v[member].reshape(own[name]) for name, v in values.items()}
        expected = run(field, alone, x)
        np.testing.assert_allclose(together[member], expected, rtol=1e-5, atol=1e-6)


def test_rows_and_whole_numbers():
    field = field_of_width(3, 1)
    x = np.array([[1, 2], [3, 4]])
    values = drawn(field, x)
    both = run(field, values, x)
    assert both.shape == (2,)
    assert both.dtype == np.float32
    np.testing.assert_allclose(run(field, values, x[1]), both[1], rtol=1e-5)


ARGUMENTS = {
    "input_scales": [2.0, 1.0],
    "fourier_degrees": [0, 2],
    "interactions": [(0, 1)],
    "seasonality_periods": [4.0],
    "num_seasonal_harmonics": [2],
    "width": 3,
    "depth": 1,
}


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        (
            {"input_scales": 2.0},
            TypeError,
            "`input_scales` must be a sequence, g",
        ),
        (
            {"fourier_degrees": 1},
            TypeError,
            "`fourier_degrees` must be a sequence, g",
        ),
        (
            {"interactions": [(0, 1), (0,)]},
            ValueError,
            "`interactions` must be pairs of columns, g",
        ),
        (
            {"seasonality_periods": 4.0},
            TypeError,
            "`seasonality_periods` must be a sequence",
        ),
        ({"input_scales": []}, ValueError, "must be a positive integer, got 0"),
        ({"input_scales": [1.0, 0.0]}, ValueError, "`input_scales` must be positive and f"),
        (
            {"fourier_degrees": [1]},
            ValueError,
            "`fourier_degrees` must have one entry.*got 1",
        ),
        ({"fourier_degrees": [0, -1]}, ValueError, "`fourier_degrees` must be zero or pos"),
        (
            {"fourier_degrees": [0, 1.5]},
            TypeError,
            "`fourier_degrees` must be a whole numb",
        ),
        ({"interactions": [(0, 2)]}, ValueError, "must name columns 0 to 1, got"),
        ({"seasonality_periods": [4, 7]}, ValueError, "`num_seasonal_harmonics` must have"),
        ({"seasonality_periods": [-4]}, ValueError, "`seasonality_periods` must be posit"),
        (
            {"num_seasonal_harmonics": [-1]},
            ValueError,
            "`num_seasonal_harmonics` must be z",
        ),
        (
            {"num_seasonal_harmonics": [3]},
            ValueError,
            "`num_seasonal_harmonics` must be at most half of the period, got 3 for the",
        ),
        ({"width": 0}, ValueError, "`width` must be a positive integer, got 0"),
        ({"depth": 1.0}, TypeError, "`depth` must be a positive integer, got 1.0"),
        ({"time_col": 2}, ValueError, "`time_col` must be below 2, got 2"),
        ({"time_col": -1}, ValueError, "`time_col` must be zero or positive, got -1"),
    ],
)
def test_refuses(changes, error, match):
    with pytest.raises(error, match=match):
        BayesianNeuralField(**(ARGUMENTS | changes))


def test_refuses_other_columns():
    field = BayesianNeuralField(**ARGUMENTS)
    with pytest.raises(ValueError, match=r"`x` must have 2 entries.*got shape \(5, 3\)"):
        seed(field, 0)(jnp.ones((5, 3)))
