"""Weights, masks and offsets of rows: what they mean, in every link and under every plate."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import seed, trace
from numpyro.infer import Trace_ELBO
from numpyro.infer.autoguide import AutoDelta
from numpyro.infer.util import log_density

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.handlers import ensemble
from numpyro_bayeslayers.infer import EnsembleSVI

from .cases import CASES, MU, N

WEIGHTS = np.array([1, 0, 3, 2, 1, 4])
SEEN = np.array([True, False, True, True, False, True])


def density(case, mu, y, **rows):
    """The likelihood alone, at the case's parameters."""
    link, hyper, _, _ = CASES[case]
    values = {f"a.{k}": jnp.asarray(v) for k, v in hyper.items()}
    model = lambda: link(jnp.asarray(mu, jnp.float32), y, "a", **rows)
    sites = log_density(seed(model, 0), (), {}, values)[1]
    site = sites["a"]
    found = site["fn"].log_prob(site["value"])
    return float(jnp.sum(found if site["scale"] is None else site["scale"] * found))


@pytest.mark.parametrize("case", CASES)
def test_weights_masks_and_offsets_of_each_link(case):
    """Weighing is repeating, masking is leaving out, an offset is part of the prediction."""
    y = np.asarray(CASES[case][2])
    by_row = np.asarray(CASES[case][3](y))
    column = WEIGHTS[:, None].astype(float)
    for weights in (WEIGHTS, column):
        found = density(case, MU, y, weights=weights)
        np.testing.assert_allclose(found, by_row @ WEIGHTS, rtol=2e-4)
    found = density(case, MU, y, mask=SEEN, weights=WEIGHTS)
    np.testing.assert_allclose(found, by_row @ (WEIGHTS * SEEN), rtol=2e-4)
    if case != "heteroscedastic":  # whose scale is made of the same numbers
        shifted = density(case, MU - 2.0, y, offset=np.full(N, 2.0))
        np.testing.assert_allclose(shifted, by_row.sum(), rtol=2e-4)
        assert abs(density(case, MU - 2.0, y) - by_row.sum()) > 0.1


def test_rows_of_categorical():
    y, logits = np.arange(N) % 3, np.outer(MU, [1.0, -1.0, 0.5])
    prior = np.array([0.0, 1.0, 2.0])
    model = lambda **rows: layers.categorical_link(jnp.asarray(logits), y, **rows)
    total = lambda **rows: float(log_density(model, (), rows, {})[0])
    by_row = [total(mask=np.arange(N) == i) for i in range(N)]
    np.testing.assert_allclose(total(weights=WEIGHTS), by_row @ WEIGHTS, rtol=1e-5)
    shifted = lambda: layers.categorical_link(jnp.asarray(logits) + prior, y)
    expected = log_density(shifted, (), {}, {})[0]
    np.testing.assert_allclose(total(offset=prior), expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"one number for each class, \(n, 3\) or \(3,\)"):
        model(offset=np.zeros(N))


def test_rows_of_several_outputs():
    """(n,) weighs all outputs of a row, (n, u) each observation; one scale for each output."""
    mu, y = jnp.zeros((4, 2)), jnp.ones((4, 2))
    one = dist.Normal(0.0, jnp.array([1.0, 2.0])).log_prob(1.0)
    w = jnp.array([1.0, 0.0, 2.0, 3.0])
    total = lambda **rows: float(log_density(lambda: run(**rows), (), {}, {})[0])
    run = lambda **rows: layers.gaussian_link(mu, y, scale=jnp.array([1.0, 2.0]), **rows)
    np.testing.assert_allclose(total(weights=w), 6 * one.sum(), rtol=1e-6)
    each = jnp.stack([w, 0 * w], 1)
    np.testing.assert_allclose(total(weights=each), 6 * one[0], rtol=1e-6)
    np.testing.assert_allclose(total(mask=each > 0), 3 * one[0], rtol=1e-6)
    moved = dist.Normal(jnp.arange(4.0)[:, None], jnp.array([1.0, 2.0])).log_prob(1.0)
    np.testing.assert_allclose(total(offset=jnp.arange(4.0)), moved.sum(), rtol=1e-6)


@pytest.mark.parametrize("case", ["gaussian", "negative binomial", "ordinal"])
def test_rows_in_plates_and_ensembles(case):
    """Each cell of a plate and each member weighs and masks its rows alike."""
    link, hyper, y, oracle = CASES[case]
    mu, y = jnp.asarray(MU, jnp.float32), jnp.asarray(y)
    rows = {"weights": jnp.asarray(WEIGHTS), "mask": jnp.asarray(SEEN)}
    expected = 3 * np.asarray(oracle(y)) @ (WEIGHTS * SEEN)

    def plated():
        with numpyro.plate("groups", 3):
            link(jnp.stack([mu, mu, mu])[..., None], y, "a", **rows)

    values = {f"a.{k}": jnp.stack(3 * [jnp.asarray(v)]) for k, v in hyper.items()}
    for model in (plated, ensemble(lambda: link(mu, y, "a", **rows), 3)):
        shapes = trace(seed(model, 0)).get_trace()
        at = {name: v.reshape(shapes[name]["value"].shape) for name, v in values.items()}
        site = log_density(model, (), {}, at)[1]["a"]
        found = site["fn"].log_prob(site["value"])
        found = found if site["scale"] is None else site["scale"] * found
        np.testing.assert_allclose(found.sum(), expected, rtol=1e-4)


def test_rows_of_a_plate_that_subsamples():
    mu, y, w = jnp.zeros(10), jnp.zeros(10), jnp.arange(10.0)

    def model():
        plate = numpyro.plate("rows", 10, subsample_size=4)
        layers.gaussian_link(mu, y, scale=1.0, plate=plate, weights=w, mask=w != 3)

    total, sites = log_density(seed(model, 0), (), {}, {})
    chosen = np.asarray(sites["rows"]["value"])
    expected = 10 / 4 * dist.Normal().log_prob(0.0) * chosen[chosen != 3].sum()
    np.testing.assert_allclose(total, expected, rtol=1e-5)


def test_masked_rows_may_hold_anything():
    """Neither the density nor its gradient sees a masked or weightless row."""
    y = jnp.array([0.5, jnp.nan, 2.0])
    seen = jnp.array([True, False, False])

    def total(mu, **rows):
        return log_density(
            lambda: layers.beta_link(mu, y, precision=3.0, **rows), (), {}, {}
        )[0]

    for rows in ({"mask": seen}, {"weights": 1.0 * seen}):
        value, gradient = jax.value_and_grad(total)(jnp.zeros(3), **rows)
        np.testing.assert_allclose(value, dist.Beta(1.5, 1.5).log_prob(0.5), rtol=1e-5)
        assert np.all(np.isfinite(gradient)) and np.all(gradient[1:] == 0)


def test_draws_do_not_read_weights_and_masks():
    rows = {"weights": jnp.zeros(5), "mask": jnp.zeros(5, bool)}
    draw = lambda **rows: seed(layers.gaussian_link, 0)(jnp.zeros(5), **rows)
    np.testing.assert_array_equal(draw(**rows), draw())


def test_weighted_minibatches():
    """Modes under weights, half of the rows at a time: the weighted mean, exactly 2.5."""

    def model(x, w, y=None):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1e6))
        layers.gaussian_link(mu + x, y, scale=1.0, weights=w)

    y, w = jnp.tile(jnp.array([1.0, 3.0]), 10), jnp.tile(jnp.array([1.0, 3.0]), 10)
    fit = EnsembleSVI(model, AutoDelta, optax.sgd(0.02), Trace_ELBO(), 2)
    start = fit.init(0, jnp.zeros(20), w, y=y)
    state, _ = fit.update(start, jnp.zeros(10), w[:10], num_rows=20, y=y[:10])
    before, after = (fit.get_params(s)["mu_auto_loc"] for s in (start, state))
    # The gradient of sum w (y - b)^2 / 2: 40 (2.5 - b).
    np.testing.assert_allclose(after, before + 0.02 * 40 * (2.5 - before), rtol=1e-4)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("rows", "error", "match"),
    [
        ({"weights": [1.0, -1.0, 1.0]}, ValueError, "`weights` must be .* -1.0 in row 1"),
        ({"weights": [1.0, np.nan, 1.0]}, ValueError, "`weights` must be finite"),
        ({"weights": [True, False, True]}, TypeError, "use `mask=`"),
        ({"mask": [1.0, 0.0, 1.0]}, TypeError, "`mask` must be boolean.*`weights=`"),
        ({"mask": [True, False]}, ValueError, r"`mask` of shape \(2,\) and `y`"),
        ({"weights": np.ones((3, 3))}, ValueError, r"`weights` of shape \(3, 3\) and `y`"),
        (
            {"offset": [0.0, -np.inf, 1.0]},
            ValueError,
            "`offset` must be finite, got -inf in row 1 .1 such",
        ),
        ({"offset": np.ones(2)}, ValueError, r"`offset` of shape \(2,\) and `y`"),
        ({"offset": np.ones((3, 3))}, ValueError, r"`offset` of shape \(3, 3\) and `y`"),
    ],
)
def test_rows_that_are_refused(rows, error, match):
    rows = {name: np.asarray(x) for name, x in rows.items()}
    with pytest.raises(error, match=match):
        layers.gaussian_link(jnp.zeros((3, 1)), jnp.zeros(3), scale=1.0, **rows)


def test_a_plate_of_rows_around_the_link_is_refused():
    """Each of its cells would have all rows: n² terms."""

    def model(mu, y):
        with numpyro.plate("rows", 5):
            layers.gaussian_link(mu, y)

    for mu, y in ((jnp.zeros((5, 1)), jnp.zeros(5)), (jnp.zeros(5), jnp.zeros(5))):
        with pytest.raises(ValueError, match="pass the plate"):
            seed(model, 0)(mu, y)
