"""Several outputs whose noise is correlated, against SciPy's multivariate normal density."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.handlers import seed, substitute, trace
from scipy import stats

from numpyro_bayeslayers.handlers import ensemble
from numpyro_bayeslayers.infer import VI, fit
from numpyro_bayeslayers.layers import multivariate_normal_link

RNG = np.random.default_rng(0)
N, U = 5, 3
MU = RNG.normal(size=(N, U))
Y = RNG.normal(size=(N, U))
SIGMA = np.array([0.5, 1.0, 2.0])
R = np.array([[1.0, 0.6, -0.2], [0.6, 1.0, 0.1], [-0.2, 0.1, 1.0]])
ROOT = np.linalg.cholesky(R)
COV = SIGMA[:, None] * R * SIGMA
BY_ROW = np.array(
    [stats.multivariate_normal(m, COV).logpdf(y) for m, y in zip(MU, Y, strict=True)]
)
VALUES = {"obs.sigma": SIGMA, "obs.cholesky": ROOT}


def site_of(values=VALUES, **more):
    data = {name: jnp.asarray(x) for name, x in values.items()}
    model = substitute(seed(multivariate_normal_link, 0), data=data)
    return trace(model).get_trace(MU, Y, **more)


def density(site):
    found = site["fn"].log_prob(site["value"])
    return np.asarray(found if site["scale"] is None else found * site["scale"])


def test_density_is_that_of_the_covariance():
    """Rows are independent, outputs of a row are one event; the correlation is reported."""
    sites = site_of()
    np.testing.assert_allclose(density(sites["obs"]), BY_ROW, rtol=1e-4)
    np.testing.assert_allclose(sites["obs.correlation"]["value"], R, atol=1e-6)
    assert sites["obs.sigma"]["fn"].event_shape == (U,)
    assert sites["obs.cholesky"]["fn"].event_shape == (U, U)


def test_rows_are_weighed_masked_and_shifted():
    weights, is_there = np.arange(N) / 2.0, np.arange(N) != 3
    found = density(site_of(weights=weights, mask=is_there[:, None])["obs"])
    np.testing.assert_allclose(found, BY_ROW * weights * is_there, rtol=1e-4, atol=1e-6)
    offset = np.ones(N)
    moved = trace(substitute(seed(multivariate_normal_link, 0), data=VALUES)).get_trace(
        MU - 1, Y, offset=offset
    )
    np.testing.assert_allclose(density(moved["obs"]), BY_ROW, rtol=1e-4)


def test_known_scales_of_rows():
    """A scale for each row stretches its covariance."""
    size = np.arange(1.0, N + 1)[:, None]
    sites = site_of({"obs.cholesky": ROOT}, scale=size)
    wanted = [
        stats.multivariate_normal(m, s[0] ** 2 * R).logpdf(y)
        for m, y, s in zip(MU, Y, size, strict=True)
    ]
    np.testing.assert_allclose(density(sites["obs"]), wanted, rtol=1e-4)
    assert "obs.sigma" not in sites


def test_members_and_plates_have_covariances_of_their_own():
    """In a plate of groups and in an ensemble, each has the density of its own parameters."""
    sigma = np.stack([SIGMA, 2 * SIGMA])
    root = np.stack([ROOT, np.eye(U)])
    second = stats.multivariate_normal(np.zeros(U), np.diag((2 * SIGMA) ** 2)).logpdf(
        Y - MU
    )

    def plated():
        with numpyro.plate("groups", 2):
            multivariate_normal_link(MU, Y)

    member = ensemble(lambda: multivariate_normal_link(MU, Y), 2)
    # Members stand before the axis of the rows.
    for model, axis in ((plated, ()), (member, (1,))):
        data = {
            "obs.sigma": jnp.asarray(np.expand_dims(sigma, axis)),
            "obs.cholesky": jnp.asarray(np.expand_dims(root, axis)),
        }
        site = trace(substitute(seed(model, 0), data=data)).get_trace()["obs"]
        found = density(site).reshape(2, -1).sum(1)
        np.testing.assert_allclose(found, [BY_ROW.sum(), second.sum()], rtol=1e-4)


def test_a_plate_of_rows_may_subsample():
    def model():
        with numpyro.handlers.seed(rng_seed=1):
            plate = numpyro.plate("rows", N, subsample_size=2)
            return multivariate_normal_link(MU, Y, plate=plate)

    sites = trace(
        substitute(model, data={n: jnp.asarray(x) for n, x in VALUES.items()})
    ).get_trace()
    rows = np.asarray(sites["rows"]["value"])
    np.testing.assert_allclose(density(sites["obs"]), BY_ROW[rows] * N / 2, rtol=1e-4)


def test_draws_have_the_covariance():
    """Covariances of 4000 draws are within five standard errors, 0.023 s_i s_j each."""
    model = substitute(seed(multivariate_normal_link, 1), data=VALUES)
    draws = np.asarray(model(jnp.zeros((4000, U))))
    error = np.abs(np.cov(draws.T) - COV) / (SIGMA[:, None] * SIGMA)
    assert error.max() < 5 * 2**0.5 / 4000**0.5


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda: multivariate_normal_link(jnp.zeros((4, 1))),
            r"two outputs.*gaussian_link",
        ),
        (
            lambda: multivariate_normal_link(jnp.zeros((4, 2)), concentration=0.0),
            "concentration",
        ),
        (lambda: multivariate_normal_link(jnp.zeros((4, 2)), jnp.zeros((4, 3))), "line up"),
        (
            lambda: multivariate_normal_link(MU, Y, weights=np.ones((N, U))),
            r"`weights` must have one value for each row",
        ),
    ],
)
def test_errors(call, match):
    with pytest.raises(ValueError, match=match):
        seed(call, 0)()


@pytest.mark.slow
def test_recovers_the_correlation():
    """2000 rows tell a correlation of 0.6 to 0.015: five of these."""
    noise = np.random.default_rng(1).multivariate_normal(np.zeros(U), COV, 2000)
    model = lambda x, y=None: multivariate_normal_link(jnp.zeros((len(x), U)), y)
    options = {"method": VI(), "num_steps": 3000, "progress_bar": False}
    found = fit(model, y=noise, x=np.zeros(2000), **options)
    mean = np.asarray(
        jax.tree.map(lambda x: x.mean((0, 1)), found.draws())["obs.correlation"]
    )
    np.testing.assert_allclose(mean, R, atol=0.08)
