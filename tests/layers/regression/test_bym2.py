"""Effects of areas: their covariance by dense generalized inverses, parts and islands, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, substitute
from scipy.sparse import csr_array

from numpyro_bayeslayers.layers import BYM2Layer
from numpyro_bayeslayers.layers.regression._areas import Areas

from .draws import run


def matrix(count, edges):
    out = np.zeros((count, count))
    for i, j in edges:
        out[i, j] = out[j, i] = 1
    return out


# A path of four, an island among them in order, a triangle with a tail, another island.
PARTS = [0, 2, 3, 5], [1], [4, 6, 7, 8], [9]
EDGES = [(0, 2), (2, 3), (3, 5), (4, 6), (6, 7), (7, 4), (7, 8)]
MAP = matrix(10, EDGES)


def expected(weights, parts, share):
    """Per part: the pseudoinverse of the Laplacian over the geometric mean of its diagonal."""
    total = np.zeros_like(weights)
    for part in parts:
        own = weights[np.ix_(part, part)]
        inverse = np.linalg.pinv(np.diag(own.sum(1)) - own)
        if len(part) == 1:
            inverse = np.ones((1, 1))
        total[np.ix_(part, part)] = inverse / np.exp(np.log(np.diag(inverse)).mean())
    return (1 - share) * np.eye(len(weights)) + share * total


def covariance(weights, share, scale=1.5, centered=False):
    """The effects are linear in the base: their Jacobian has the whole covariance."""
    layer, count = BYM2Layer(weights, centered=centered), len(weights)
    known = {"a.scale": jnp.array([scale]), "a.mixing": jnp.array([share])}

    def effects(base):
        model = substitute(layer, data={**known, "a.theta_base": base[:, None]})
        return seed(model, 0)("a", np.arange(count))[:, 0]

    with jax.enable_x64(True):
        root = np.asarray(jax.jit(jax.jacobian(effects))(np.zeros(count)))
    return root @ root.T


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_covariance_is_that_of_the_page(share):
    found = covariance(MAP, share)
    np.testing.assert_allclose(
        found, 1.5**2 * expected(MAP, PARTS, share), rtol=1e-5, atol=1e-6
    )
    if (
        share == 1.0
    ):  # the smooth part of each part of the map sums to zero, islands are free
        sums = [found[part].sum() for part in PARTS]
        np.testing.assert_allclose(sums, [0, 2.25, 0, 2.25], atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_spatial_part_is_what_the_sum_tells_of_it(share):
    """The regression of one normal vector on its sum with another, by dense covariances."""
    known = {"a.scale": jnp.array([1.5]), "a.mixing": jnp.array([share])}
    _, v, _ = run(substitute(BYM2Layer(MAP), data=known), np.arange(10))
    smooth = share * expected(MAP, PARTS, 1.0)
    whole = smooth + (1 - share) * np.eye(10)
    wanted = smooth @ np.linalg.pinv(whole, rcond=1e-9, hermitian=True) @ v["theta"]
    np.testing.assert_allclose(v["spatial"], wanted, rtol=1e-4, atol=1e-5)


def test_weights_and_many_equal_eigenvalues():
    """A complete graph of 30 areas has one eigenvalue; weights are in the Laplacian."""
    complete = 1.0 - np.eye(30)
    found = covariance(complete, 0.7)
    np.testing.assert_allclose(
        found, 2.25 * expected(complete, [list(range(30))], 0.7), rtol=1e-4, atol=1e-5
    )
    heavy = MAP * np.where(np.add.outer(range(10), range(10)) > 6, 3.0, 1.0)
    found = covariance(heavy, 0.5)
    np.testing.assert_allclose(
        found, 2.25 * expected(heavy, PARTS, 0.5), rtol=1e-5, atol=1e-6
    )


def test_components_do_not_depend_on_the_eigenvectors_that_were_found(monkeypatch):
    """Any rotation of equal ones and any signs give the same: draws that were kept stay good."""
    ring = matrix(8, [(i, (i + 1) % 8) for i in range(8)])
    plain = Areas(ring).components
    found = np.linalg.eigh

    def turned(a):
        values, columns = found(a)
        turn = np.linalg.qr(np.random.default_rng(0).normal(size=(2, 2)))[0]
        for k in (1, 3, 5):
            columns[:, k : k + 2] = columns[:, k : k + 2] @ turn
        return values, -columns

    monkeypatch.setattr(np.linalg, "eigh", turned)
    np.testing.assert_allclose(Areas(ring).components, plain, atol=1e-9)


def test_sites_and_rows():
    area = np.array([3, 0, 0, 9])
    out, v, sites = run(BYM2Layer(MAP), area, units=2)
    names = ["a.scale", "a.mixing", "a.theta_base", "a.theta", "a.spatial"]
    assert list(sites) == names
    assert v["theta"].shape == (10, 2)
    np.testing.assert_allclose(out, v["theta"][area], rtol=1e-12)
    assert BYM2Layer(csr_array(MAP)).adjacency == BYM2Layer(MAP > 0).adjacency


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: BYM2Layer(np.triu(MAP)),
            ValueError,
            "`adjacency` must be symmetric.* 0 and 2",
        ),
        (lambda: BYM2Layer(MAP[:3]), ValueError, "`adjacency` must be a square"),
        (lambda: BYM2Layer(MAP + np.eye(10)), ValueError, "`adjacency` must be zero on"),
        (lambda: BYM2Layer(-MAP), ValueError, "`adjacency` must be zero or positive"),
        (lambda: BYM2Layer(MAP * np.nan), ValueError, "`adjacency` must be zero or pos"),
        (lambda: BYM2Layer(EDGES), ValueError, "`adjacency` must be a square"),
        (lambda: BYM2Layer([["a"]]), TypeError, "`adjacency` must hold"),
        (
            lambda: BYM2Layer(MAP, mixing_dist=dist.Normal(0.0, 1.0)),
            ValueError,
            "`mixing_dist`",
        ),
        (
            lambda: BYM2Layer(MAP)("a", [0, 10]),
            ValueError,
            r"`area` must hold .*got \[10\]",
        ),
        (lambda: BYM2Layer(MAP)("a", [0.5]), TypeError, "`area` must hold"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match), seed(rng_seed=0):
        call()
