"""Links against SciPy's densities; rows meet rows, or it is an error."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import log_density
from scipy import stats

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.handlers import ensemble
from tests.quick import mostly_slow

from .cases import CASES, COUNTS, MU, RNG, N


@pytest.mark.parametrize("column", [False, True], ids=["(n,)", "(n, 1)"])
@pytest.mark.parametrize("case", CASES)
def test_log_density(case, column):
    link, hyper, y, oracle = CASES[case]
    mu = jnp.asarray(MU[:, None] if column else MU, jnp.float32)
    data = {f"price.{k}": jnp.asarray(v) for k, v in hyper.items()}
    model = substitute(seed(lambda: link(mu, jnp.asarray(y), "price"), 0), data=data)
    sites = trace(model).get_trace()
    assert set(sites) == {"price", *data}
    site = sites["price"]
    assert site["is_observed"]
    found = site["fn"].log_prob(site["value"])
    assert found.shape == (N,)
    np.testing.assert_allclose(found, oracle(y), rtol=2e-4, atol=2e-5)


def test_categorical():
    logits = RNG.normal(size=(N, 3))
    y = COUNTS % 3
    sites = trace(layers.categorical_link).get_trace(
        jnp.asarray(logits, jnp.float32), jnp.asarray(y)
    )
    expected = np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    found = sites["obs"]["fn"].log_prob(y)
    np.testing.assert_allclose(found, expected[np.arange(N), y], rtol=1e-5)


@pytest.mark.parametrize(
    ("predicted", "observed", "site"),
    [
        ((5,), (5,), (5,)),
        ((5, 1), (5,), (5,)),
        ((5,), (5, 1), (5,)),
        ((5, 1), (5, 1), (5,)),
        ((1, 1), (5,), (5,)),
        ((), (5,), (5,)),
        ((5, 2), (5, 2), (5, 2)),
        ((5, 1), None, (5,)),
        ((5, 2), None, (5, 2)),
        ((1, 1), (1,), (1,)),
    ],
)
def test_shapes_that_line_up(predicted, observed, site):
    y = None if observed is None else jnp.zeros(observed)
    out = seed(layers.gaussian_link, 0)(jnp.zeros(predicted), y, scale=1.0)
    assert out.shape == site


@pytest.mark.parametrize(
    ("predicted", "observed"),
    [
        ((5, 5), (5,)),
        ((5, 2), (5,)),
        ((5,), (4,)),
        ((5,), (5, 5)),
        ((5, 2), (2,)),
        ((5,), (1,)),
    ],
)
def test_shapes_that_would_broadcast_are_refused(predicted, observed):
    with pytest.raises(ValueError, match=r"`y_hat` of shape .*`y` of shape .*line up"):
        layers.gaussian_link(jnp.zeros(predicted), jnp.zeros(observed), scale=1.0)


@pytest.mark.slow
def test_newcomers_first_model_recovers_the_slope():
    """y = 2 x + noise of sd 0.3, 200 rows: the posterior's sd is 0.02, the tolerance 5 of it."""
    x = RNG.normal(size=200)
    y = 2 * x + 0.3 * RNG.normal(size=200)

    def model(x, y=None):
        mu = layers.AdaptiveLayer()("mu", x)
        return layers.gaussian_link(mu, y)

    kernel = numpyro.infer.NUTS(model)
    mcmc = numpyro.infer.MCMC(kernel, num_warmup=200, num_samples=200, progress_bar=False)
    mcmc.run(jax.random.key(0), jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    slope = np.asarray(mcmc.get_samples()["mu.beta"]).ravel()
    assert abs(slope.mean() - 2) < 0.11
    assert slope.std() < 0.05


def test_two_links_have_two_names():
    def model():
        layers.gaussian_link(jnp.zeros(5), jnp.zeros(5), "a")
        layers.gaussian_link(jnp.zeros(5), jnp.zeros(5), "b")

    assert list(trace(seed(model, 0)).get_trace()) == ["a.sigma", "a", "b.sigma", "b"]


@pytest.mark.parametrize("given", ["all rows", "drawn rows"])
def test_plate_subsamples_predictions_and_observations(given):
    """The scaled log density of 4 of 10 rows, at the rows that the plate drew."""
    mu, y = jnp.arange(10.0), jnp.arange(10.0) + 0.5

    def model():
        plate = numpyro.plate("rows", 10, subsample_size=4)
        if given == "drawn rows":
            with plate as rows:
                pass
            return layers.gaussian_link(mu[rows, None], y[rows], scale=1.0, plate=plate)
        return layers.gaussian_link(mu[:, None], y, scale=1.0, plate=plate)

    total, sites = log_density(seed(model, 0), (), {}, {})
    assert sites["obs"]["fn"].batch_shape == (4,)
    np.testing.assert_allclose(total, 10 * stats.norm(0, 1).logpdf(0.5), rtol=1e-5)


@pytest.mark.parametrize(
    "case",
    mostly_slow(
        ["gaussian", "negative binomial", "zero-inflated", "ordinal"],
        {"gaussian", "zero-inflated"},
    ),
)
def test_plates_and_ensembles(case):
    """The log density inside of a plate is the sum over its cells."""
    link, _, y, _ = CASES[case]
    y = jnp.asarray(y)

    def model(mu, y):
        link(mu, y, "a")

    def plated(mu, y):
        with numpyro.plate("groups", 3):
            link(jnp.stack([mu, mu, mu])[..., None], y, "a")

    mu = jnp.asarray(MU, jnp.float32)
    for many in (plated, ensemble(model, 3)):
        sites = trace(seed(many, 0)).get_trace(mu, y)
        values = {
            name: site["value"]
            for name, site in sites.items()
            if site["type"] == "sample" and not site["is_observed"]
        }
        total, _ = log_density(many, (mu, y), {}, values)
        single = trace(seed(model, 0)).get_trace(mu, y)
        cells = [
            {name: v[i].reshape(single[name]["value"].shape) for name, v in values.items()}
            for i in range(3)
        ]
        expected = sum(log_density(model, (mu, y), {}, cell)[0] for cell in cells)
        np.testing.assert_allclose(total, expected, rtol=1e-5)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: layers.gaussian_link(x, x, 3), TypeError, "`name` must be a string"),
        (lambda x: layers.gaussian_link(x, x, scale=-1.0), ValueError, "`scale` must be"),
        (
            lambda x: layers.gaussian_link(x, x, scale=1.0, untransformed_scale=x),
            ValueError,
            "give only one",
        ),
        (
            lambda x: layers.student_t_link(x, x, df=0.0),
            ValueError,
            "`df` must be positive",
        ),
        (
            lambda x: layers.ordinal_link(x, x, 1),
            ValueError,
            "`num_classes` must be at least",
        ),
        (lambda x: layers.categorical_link(x, x), ValueError, "two classes or more"),
        (lambda x: layers.poisson_link(x[None, None], x), ValueError, "`y_hat` must be"),
        (lambda x: layers.poisson_link(x, x, plate="rows"), TypeError, "`plate` must be"),
        (
            lambda x: layers.poisson_link(x, x, plate=numpyro.plate("rows", 10, None, -1)),
            ValueError,
            "`plate` has 10 rows",
        ),
        (
            lambda x: layers.negative_binomial_link(x, x, rate=0.0),
            ValueError,
            "`rate` must be positive",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match), seed(rng_seed=0):
        call(jnp.zeros(5))
