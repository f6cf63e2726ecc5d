"""The Laplace covariance of random features against dense algebra and autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import seed, trace
from numpyro.infer.autoguide import AutoDelta
from scipy import integrate, special, stats

from numpyro_bayeslayers.basis import mean_field_logits
from numpyro_bayeslayers.infer import EnsembleSVI
from numpyro_bayeslayers.layers import (
    DenseReparameterization,
    LaplaceRandomFeatureCovariance,
    RandomFeatureGaussianProcess,
)

RNG = np.random.default_rng(0)
N, F, K = 12, 4, 3
PHI = RNG.standard_normal((N, F))
BETA = RNG.standard_normal((F, K))
LOGITS = PHI @ BETA
NEW = RNG.standard_normal((5, F))
SCALE = 0.8


def start(likelihood, outputs=K, **settings):
    return LaplaceRandomFeatureCovariance.init(
        F, outputs, likelihood=likelihood, ridge_penalty=SCALE**-2, **settings
    )


def hessian(log_density):
    """Of minus the log joint in the flattened weights, outputs first, by autodiff."""
    flat = jnp.asarray(BETA.T.reshape(-1))

    def energy(weights):
        beta = weights.reshape(K, F).T
        return -log_density(PHI @ beta) + jnp.sum(weights**2) / (2 * SCALE**2)

    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.hessian(energy))(flat))


LABELS = jnp.asarray(np.arange(N) % K)
DENSITIES = {
    "gaussian": lambda f: jnp.sum(dist.Normal(f, 0.5).log_prob(0.3)),
    "bernoulli": lambda f: jnp.sum(dist.Bernoulli(logits=f).log_prob(1.0)),
    "poisson": lambda f: jnp.sum(dist.Poisson(jnp.exp(f)).log_prob(2.0)),
    "categorical": lambda f: jnp.sum(dist.Categorical(logits=f).log_prob(LABELS)),
}


@pytest.mark.parametrize("likelihood", DENSITIES)
def test_covariance_is_that_of_the_laplace_approximation(likelihood):
    """The inverse of the Hessian, of which the blocks of single outputs are kept."""
    noise = {"noise_scale": 0.5} if likelihood == "gaussian" else {}
    found = start(likelihood, **noise).update(PHI, LOGITS).covariance()
    exact = hessian(DENSITIES[likelihood])
    for k in range(K):
        block = exact[k * F : (k + 1) * F, k * F : (k + 1) * F]
        own = found if likelihood == "gaussian" else found[k]
        np.testing.assert_allclose(own, np.linalg.inv(block), rtol=2e-4, atol=1e-5)


def test_joint_covariance_of_classes_is_exact():
    """With all blocks: the inverse of the whole Hessian of the softmax likelihood."""
    covariance = start("categorical", use_joint=True).update(PHI, LOGITS)
    exact = np.linalg.inv(hessian(DENSITIES["categorical"]))
    np.testing.assert_allclose(covariance.covariance(), exact, rtol=2e-4, atol=1e-5)
    rows = np.kron(np.eye(K), NEW[0])  # (K, K F)
    np.testing.assert_allclose(
        covariance.output_covariance(NEW)[0], rows @ exact @ rows.T, rtol=2e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        covariance.variance(NEW)[0], np.diag(rows @ exact @ rows.T), rtol=2e-4
    )


@pytest.mark.parametrize("likelihood", DENSITIES)
def test_minibatches_add_up_to_the_whole_batch(likelihood):
    """In a scan, the last one filled up with rows of weight zero."""
    whole = start(likelihood).update(PHI, LOGITS)
    order = np.r_[np.random.default_rng(1).permutation(N), [0, 0, 0]]
    parts = [a[order].reshape(3, 5, -1) for a in (PHI, LOGITS)]
    weights = np.r_[np.ones(N), np.zeros(3)].reshape(3, 5)
    one = lambda covariance, batch: (covariance.update(*batch), None)
    batches = tuple(map(jnp.asarray, (*parts, weights)))
    found, _ = jax.lax.scan(one, start(likelihood), batches)
    np.testing.assert_allclose(found.precision, whole.precision, rtol=1e-5, atol=1e-5)
    assert (found.reset().precision == start(likelihood).precision).all()
    assert found.num_updates == 3


def test_variance_is_the_quadratic_form():
    covariance = start("categorical").update(PHI, LOGITS)
    expected = np.einsum("ni,kij,nj->nk", NEW, np.asarray(covariance.covariance()), NEW)
    np.testing.assert_allclose(covariance.variance(NEW), expected, rtol=1e-4)
    np.testing.assert_array_equal(covariance(NEW), covariance.variance(NEW))
    stacked = covariance.variance(NEW.reshape(1, 5, F))
    np.testing.assert_allclose(stacked[0], expected, rtol=1e-4)
    shared = start("gaussian").update(PHI)
    assert shared.variance(NEW).shape == (5, 1)


def test_momentum_averages_what_all_rows_would_say():
    """By hand, and unbiased from the first minibatch on."""
    batches = PHI.reshape(4, 3, F)
    moving = start("gaussian", momentum=0.9, num_rows=N)
    average, weight = np.zeros((F, F)), 0.0
    for batch in batches:
        moving = moving.update(batch)
        average = 0.9 * average + 0.1 * N / 3 * batch.T @ batch
        weight = 0.9 * weight + 0.1
    expected = average / weight + np.eye(F) / SCALE**2
    np.testing.assert_allclose(moving.precision, expected, rtol=1e-5)
    for _ in range(3):  # of whole batches it is the batch's
        moving = moving.reset().update(PHI).update(PHI)
    expected = start("gaussian").update(PHI).precision
    np.testing.assert_allclose(moving.precision, expected, rtol=1e-5)


def test_settings_and_shapes_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="`num_rows` must be given with `momentum`"):
        start("gaussian", momentum=0.9)
    with pytest.raises(ValueError, match="`use_joint` is for the likelihood 'categorical'"):
        start("poisson", use_joint=True)
    with pytest.raises(ValueError, match="`logits` must be given"):
        start("poisson").update(PHI)
    with pytest.raises(ValueError, match=r"`logits` must have shape \(12, 3\)"):
        start("poisson").update(PHI, LOGITS[:, :2])
    with pytest.raises(ValueError, match="`features` must have 4 entries"):
        start("poisson").update(PHI[:, :2], LOGITS)
    with pytest.raises(ValueError, match="`use_joint` must be True"):
        start("categorical").output_covariance(PHI)


def test_mean_field_is_near_the_mean_probability():
    """Against quadrature: within 0.02, as MacKay's approximation is."""
    for mean in (-3.0, 0.5, 2.0):
        for scale in (0.3, 1.0, 3.0):
            law = stats.norm(mean, scale)
            exact, _ = integrate.quad(lambda z, w=law: special.expit(z) * w.pdf(z), -30, 30)
            found = mean_field_logits(jnp.array([mean]), jnp.array([scale**2]))
            assert abs(special.expit(float(found[0])) - exact) < 0.02


# A network with the layer on top, and an ensemble of two modes.

GP = RandomFeatureGaussianProcess.init(
    2, 3, 8, key=jax.random.key(0), prior_scale=0.7, name="gp"
)
X = jnp.asarray(RNG.standard_normal((20, 2)))
Y = jnp.asarray((np.asarray(X)[:, 0] > 0).astype(int) + (np.asarray(X)[:, 1] > 1))


def model(x, y=None):
    h = DenseReparameterization(2, 2, name="hidden")(x)
    f = GP(h)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Categorical(logits=f), obs=y)


@pytest.fixture(scope="module")
def modes():
    found = EnsembleSVI(model, AutoDelta, optax.adam(0.05), num_members=2)
    result = found.run(jax.random.key(0), 30, X, Y, progress_bar=False)
    return {
        name: result.params[f"{name}_auto_loc"].reshape((2, *shape))
        for name, shape in {
            "hidden.weight": (2, 2),
            "hidden.bias": (2,),
            "gp.beta": (16, 3),
        }.items()
    }


def test_members_have_covariances_of_their_own(modes):
    """By `vmap`, and equal to that of each member by hand, from the model's own trace."""

    def covariance_of(values):
        return GP.covariance("categorical").update(*GP.outputs_of(model, values, X, Y))

    both = jax.jit(jax.vmap(covariance_of))(modes)
    for member in range(2):
        values = {name: np.asarray(v[member]) for name, v in modes.items()}
        hidden = np.asarray(X) @ values["hidden.weight"] + values["hidden.bias"]
        phi = np.asarray(GP.rff(hidden))
        p = special.softmax(phi @ values["gp.beta"], -1)
        expected = np.einsum("nk,ni,nj->kij", p * (1 - p), phi, phi) + np.eye(16) / 0.7**2
        np.testing.assert_allclose(both.precision[member], expected, rtol=2e-4, atol=1e-4)
    far = GP.rff(jnp.full((1, 2), 50.0))
    near = GP.outputs_of(model, {n: v[0] for n, v in modes.items()}, X, Y).features
    member = jax.tree.map(lambda a: a[0], both)
    assert member.variance(far).min() > member.variance(near).mean()


def test_outputs_of_says_what_is_missing(modes):
    values = {name: v[0] for name, v in modes.items()}
    with pytest.raises(ValueError, match=r"'hidden\.weight'"):
        GP.outputs_of(model, {"gp.beta": values["gp.beta"]}, X)
    with pytest.raises(ValueError, match="`model` must call the layer 'gp'"):
        GP.outputs_of(DenseReparameterization(2, 2), {}, X)


def test_laplace_covariance_of_normal_noise_is_the_posterior():
    """`condition`, by another route, gives the same covariance and variances."""
    layer = RandomFeatureGaussianProcess.init(
        2, 1, 4, key=jax.random.key(1), prior_scale=0.7
    )
    posterior = layer.condition(X, jnp.sin(X[:, 0]), 0.3)
    found = layer.covariance(noise_scale=0.3).update(layer.rff(X))
    exact = posterior.weights.covariance_matrix
    np.testing.assert_allclose(found.covariance(), exact, rtol=1e-3, atol=1e-4)
    noisy = posterior.marginal(X, 0.3).variance
    np.testing.assert_allclose(found.variance(layer.rff(X))[:, 0] + 0.09, noisy, rtol=1e-3)


def test_prior_draws_have_the_kernel_as_covariance():
    """The features' inner product, which is 1 on the diagonal, times the prior's variance."""
    site = trace(seed(GP, 0)).get_trace(X)["gp.beta"]
    assert site["fn"].event_shape == (16, 3)
    np.testing.assert_allclose(site["fn"].base_dist.variance, 0.49, rtol=1e-6)
    gram = np.asarray(GP.rff(X) @ GP.rff(X).T)
    np.testing.assert_allclose(np.diag(gram), 1.0, rtol=1e-5)


def test_features_with_sites_are_refused():
    with pytest.raises(TypeError, match="RandomKitchenSinks"):
        RandomFeatureGaussianProcess(DenseReparameterization(2, 2), 1)
