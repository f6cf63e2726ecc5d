"""Normal approximations at a mode: exact where the posterior is normal, else by dense algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_bayeslayers.infer import Laplace, fit, load
from numpyro_bayeslayers.layers import DenseReparameterization, logit_link

pytestmark = pytest.mark.usefixtures("as_users_run")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 2))
NOISE, WIDTHS = 0.5, np.array([1.5, 0.7])
Y = X @ np.array([1.0, -0.5]) + 0.3 + NOISE * RNG.normal(size=12)
NEW = np.array([[0.5, 1.0], [3.0, -2.0]])


def line(x, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, WIDTHS).to_event(1))
    level = numpyro.sample("level", dist.Normal(0.2, 2.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(x @ w + level, NOISE), obs=y)


def exact(factor=1.0):
    """Mean, covariance and log evidence of (w, level) by the normal equations."""
    design = np.column_stack([X, np.ones(12)])
    prior = factor * np.diag(np.r_[WIDTHS, 2.0] ** -2.0)
    start = np.r_[0.0, 0.0, 0.2]
    precision = design.T @ design / NOISE**2 + prior
    mean = np.linalg.solve(precision, design.T @ Y / NOISE**2 + prior @ start)
    cov = NOISE**2 * np.eye(12) + design @ np.linalg.solve(prior, design.T)
    away = Y - design @ start
    evidence = -0.5 * away @ np.linalg.solve(cov, away)
    evidence -= 0.5 * np.linalg.slogdet(2 * np.pi * cov)[1]
    return mean, np.linalg.inv(precision), evidence


def trained(model, y, x, steps=400, **options):
    how = {"num_steps": steps, "seed": 1, "progress_bar": False}
    return fit(model, y=y, x=x, method=Laplace(optim=0.1, **options), **how)


@pytest.fixture(scope="module")
def found():
    return trained(line, Y, X)


def test_a_linear_normal_model_has_its_posterior(found):
    """In float32, after 400 steps of Adam."""
    mean, cov, evidence = exact()
    params = {n: np.asarray(x[0], float) for n, x in found.params.items()}
    np.testing.assert_allclose(params["auto_loc"], mean, atol=1e-3)
    lower = params["auto_scale_tril"]
    np.testing.assert_allclose(lower @ lower.T, cov, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(params["auto_log_evidence"], evidence, atol=1e-3)
    np.testing.assert_allclose(found.diagnostics().log_evidence, evidence, atol=1e-3)


def test_its_predictions_are_exact(found):
    """Of 4,000 draws: 5 standard errors, 1 in 4e5 runs for each of four numbers."""
    mean, cov, _ = exact()
    design = np.column_stack([NEW, np.ones(2)])
    right, var = design @ mean, np.einsum("ni,ij,nj->n", design, cov, design)
    curve = found.expected(x=NEW, num_samples=4000)
    error = np.sqrt(var / 4000)
    assert (abs(curve.mean - right) < 5 * error).all()
    assert (abs(curve.std / np.sqrt(var) - 1) < 5 / np.sqrt(8000)).all()
    y = np.array([1.0, 4.0])
    density = found.log_density(y=y, x=NEW, num_samples=4000)
    total = var + NOISE**2
    known = -0.5 * ((y - right) ** 2 / total + np.log(2 * np.pi * total))
    np.testing.assert_allclose(density, known, atol=0.1)


def test_its_draws_are_those_of_the_posterior(found):
    """The weights that correct draws of the posterior itself are all the evidence."""
    mean, cov, evidence = exact()
    draws = found.draws(num_samples=4000)
    flat = np.column_stack([np.asarray(draws["w"])[0], np.asarray(draws["level"])[0]])
    error = np.sqrt(np.diag(cov) / 4000)
    assert (abs(flat.mean(0) - mean) < 5 * error).all()
    logs = found._posterior.log_weights(jax.random.key(0), 50)
    np.testing.assert_allclose(logs, np.full((1, 50), evidence), atol=2e-3)


def test_a_file_of_it(found, tmp_path):
    found.save(tmp_path / "laplace.fit")
    again = load(tmp_path / "laplace.fit", line)
    assert again.method == found.method
    got, right = (f.predict(x=NEW, num_samples=5).samples for f in (again, found))
    assert np.asarray(got).tobytes() == np.asarray(right).tobytes()


@pytest.mark.parametrize(
    "structure", ["full", pytest.param("low_rank", marks=pytest.mark.slow)]
)
def test_the_factor_of_the_prior_maximizes_the_evidence(structure):
    """At the mode that stays, by a grid of dense determinants."""
    got = trained(line, Y, X, structure=structure, prior_precision="marginal")
    factor = float(got.params["auto_prior_factor"][0])
    mean, _, _ = exact()
    design = np.column_stack([X, np.ones(12)])
    prior = np.diag(np.r_[WIDTHS, 2.0] ** -2.0)
    away = mean - np.r_[0.0, 0.0, 0.2]
    grid = np.exp(np.linspace(-6, 6, 4001))
    scores = [
        1.5 * np.log(t)
        - 0.5 * t * away @ prior @ away
        - 0.5 * np.linalg.slogdet(design.T @ design / NOISE**2 + t * prior)[1]
        for t in grid
    ]
    np.testing.assert_allclose(factor, grid[np.argmax(scores)], rtol=0.02)


WEIGHTS = {"a.weight": (2, 3), "a.bias": (3,), "b.weight": (3, 1), "b.bias": (1,)}
LABELS = (X[:, 0] > X[:, 1] ** 2 - 0.5).astype(int)


def network(x, y=None):
    h = jnp.tanh(DenseReparameterization(2, 3, name="a")(x))
    return logit_link(DenseReparameterization(3, 1, name="b")(h)[:, 0], y)


def logits(flat, x):
    a, b, c, d = np.split(np.asarray(flat), [6, 9, 12])
    hidden = jnp.tanh(x @ a.reshape(2, 3) + b)
    return hidden @ c + d[0], hidden


@pytest.fixture(scope="module")
def nets():
    options = {"full": {}, "diag": {}, "kron": {}, "low_rank": {"rank": 12}}
    return {
        name: trained(network, LABELS, X, 150, structure=name, **more)
        for name, more in options.items()
    }


def dense(flat):
    """The Jacobian of the logits by autodiff, the information, and the Gauss-Newton matrix."""
    fn = lambda flat: (
        jnp.tanh(X @ flat[:6].reshape(2, 3) + flat[6:9]) @ flat[9:12] + flat[12]
    )
    jacobian = np.asarray(jax.jacobian(fn)(jnp.asarray(flat)), float)
    p = 1 / (1 + np.exp(-np.asarray(logits(flat, X)[0], float)))
    return jacobian, p * (1 - p), (jacobian.T * (p * (1 - p))) @ jacobian


def params_of(found):
    return {n: np.asarray(x[0], float) for n, x in found.params.items()}


def test_full_diagonal_and_low_rank_are_those_of_the_dense_matrix(nets):
    """The rank of twelve rows is at most twelve, so that so many directions leave out nothing."""
    full = params_of(nets["full"])
    precision = dense(full["auto_loc"])[2] + np.eye(13)
    lower = full["auto_scale_tril"]
    np.testing.assert_allclose(lower @ lower.T, np.linalg.inv(precision), atol=1e-4)
    diag = params_of(nets["diag"])
    right = np.diag(dense(diag["auto_loc"])[2]) + 1
    np.testing.assert_allclose(diag["auto_scale"] ** -2, right, rtol=1e-4)
    low = params_of(nets["low_rank"])
    basis, shrinkage = low["auto_basis"], low["auto_shrinkage"]
    root = np.eye(13) + basis * shrinkage @ basis.T
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(precision), atol=1e-4)
    np.testing.assert_allclose(
        low["auto_log_evidence"], full["auto_log_evidence"], atol=1e-2
    )


def test_kronecker_factors(nets):
    """By their definition, from the inputs and the gradients of the outputs of both layers."""
    found = params_of(nets["kron"])
    flat = found["auto_loc"]
    _, info, whole = dense(flat)
    _, hidden = logits(flat, X)
    hidden = np.asarray(hidden, float)
    slopes = flat[9:12] * (1 - hidden**2)
    inside = (slopes.T * info) @ slopes
    inputs = {"a.weight": X.T @ X, "b.weight": hidden.T @ hidden}
    outputs = {"a.weight": inside, "b.weight": info.sum()[None, None]}
    at = 0
    for name, shape in WEIGHTS.items():
        size = int(np.prod(shape))
        scale, right = (
            found["auto_scale"][at : at + size],
            whole[at : at + size, at : at + size],
        )
        basis = found[f"auto_{name}.out"]
        if name in inputs:
            right = np.kron(inputs[name], outputs[name]) / 12
            basis = np.kron(found[f"auto_{name}.in"], basis)
        got = (basis * scale**-2) @ basis.T
        np.testing.assert_allclose(got, right + np.eye(size), atol=2e-4, err_msg=name)
        at += size
    assert at == 13


def test_linearized_predictions_of_a_network(nets):
    """The logit at a row is normal: its mean and variance by dense algebra, of 4,000 draws."""
    found = nets["full"]
    params = params_of(found)
    flat, lower = params["auto_loc"], params["auto_scale_tril"]
    fn = lambda flat: (
        jnp.tanh(NEW @ flat[:6].reshape(2, 3) + flat[6:9]) @ flat[9:12] + flat[12]
    )
    slope = np.asarray(jax.jacobian(fn)(jnp.asarray(flat)), float) @ lower
    p = np.asarray(found.expected(x=NEW, num_samples=4000).samples, float)
    drawn = np.log(p) - np.log1p(-np.clip(p, 0, 1 - 1e-7))
    spread = np.linalg.norm(slope, axis=1)
    right = np.asarray(logits(flat, NEW)[0], float)
    assert (abs(drawn.mean(0) - right) < 5 * spread / np.sqrt(4000)).all()
    np.testing.assert_allclose(drawn.std(0), spread, rtol=0.06)


def bent(x, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, 1.5).expand([2]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(w[0] * jnp.tanh(w[1] * x[:, 0]), NOISE), obs=y)


@pytest.mark.parametrize("predictive", ["linearized", "sampled"])
def test_the_weights_are_of_the_model_that_predicts(predictive):
    """Known noise: the linearized model has this normal law as its posterior, exactly.

    So all its weights are the evidence, but for what is left of the slope after 400 steps;
    those of the model itself differ by nats.
    """
    found = trained(bent, Y, X, predictive=predictive)
    logs = np.asarray(found._posterior.log_weights(jax.random.key(0), 50), float)
    if predictive == "sampled":
        assert np.ptp(logs) > 1.0
        return
    evidence = float(found.params["auto_log_evidence"][0])
    np.testing.assert_allclose(logs, evidence, atol=0.02)


def test_two_hundred_sites_and_rows():
    """The covariance is that of dense algebra: products in batches had been wrong here."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))

    def classes(x, y=None):
        h = jnp.tanh(DenseReparameterization(2, 40, name="a")(x))
        f = DenseReparameterization(40, 2, name="b")(h)
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Categorical(logits=f), obs=y)

    found = trained(classes, (x[:, 0] > 0).astype(int), x, 5)
    flat = np.asarray(found.params["auto_loc"][0], float)
    a, b, c, d = np.split(flat, [80, 120, 200])
    hidden = np.tanh(x @ a.reshape(2, 40) + b)
    c = c.reshape(40, 2)
    inside = c.T * (1 - hidden**2)[:, None]  # rows, outputs, hidden units
    parts = [
        (x[:, None, :, None] * inside[:, :, None]).reshape(200, 2, 80),
        inside,
        np.einsum("nh,ok->nohk", hidden, np.eye(2)).reshape(200, 2, 80),
        np.broadcast_to(np.eye(2), (200, 2, 2)),
    ]
    slope = np.concatenate(parts, -1)
    logits = hidden @ c + d
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    info = p[:, :, None] * np.eye(2) - p[:, :, None] * p[:, None]
    precision = np.einsum("nis,nij,njt->st", slope, info, slope) + np.eye(202)
    lower = np.asarray(found.params["auto_scale_tril"][0], float)
    np.testing.assert_allclose(lower @ lower.T, np.linalg.inv(precision), atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("subset", ["last", ("b.*",)])
def test_a_subset_leaves_the_others_at_the_mode(subset):
    found = trained(network, LABELS, X, 150, subset=subset, predictive="sampled")
    draws = found.draws(num_samples=20)
    assert float(np.ptp(draws["a.weight"], axis=1).max()) == 0.0
    assert float(np.ptp(draws["b.weight"], axis=1).min()) > 0.0
    assert found.params["auto_scale_tril"].shape == (1, 4, 4)


def noisy(x, y=None):
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(x @ w, scale), obs=y)


def test_a_scale_is_approximated_by_its_logarithm():
    r"""Its information is $2n$, its prior's curvature $2 \sigma^2$; `w` and it do not meet."""
    found = trained(noisy, Y, X)
    params = params_of(found)
    precision = np.linalg.inv(params["auto_scale_tril"] @ params["auto_scale_tril"].T)
    scale = np.exp(params["auto_loc"][0])
    np.testing.assert_allclose(precision[0, 0], 24 + 2 * scale**2, rtol=1e-4)
    np.testing.assert_allclose(precision[1:, 1:], X.T @ X / scale**2 + np.eye(2), rtol=1e-3)
    np.testing.assert_allclose(precision[0, 1:], 0, atol=1e-2)


def test_wrong_options():
    with pytest.raises(ValueError, match="`structure`"):
        Laplace(structure="dense")
    with pytest.raises(ValueError, match="`rank`"):
        Laplace(rank=0)
    with pytest.raises(ValueError, match="`subset` must match a latent site, got 'c"):
        trained(line, Y, X, 1, subset="c.*")
    with pytest.raises(ValueError, match='`subset`="last"'):
        trained(line, Y, X, 1, subset="last")
    with pytest.raises(ValueError, match="normal priors, and the site 'scale'"):
        trained(noisy, Y, X, 1, prior_precision="marginal")


def hill(x, y=None):
    numpyro.sample("w", dist.Cauchy(0.0, 1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(x[:, 0], 1.0), obs=y)


def test_where_the_curvature_is_negative_the_mode_is_all():
    """The flank of Cauchy's density, at which training has been stopped."""
    how = {"num_steps": 1, "init": {"w": 5.0}, "progress_bar": False}
    method = Laplace(structure="diag", optim=1e-6)
    with pytest.warns(
        UserWarning, match="curvature at the mode is not positive in the fit"
    ):
        found = fit(hill, y=Y, x=X, method=method, **how)
    np.testing.assert_allclose(found.draws(num_samples=3)["w"], 5.0, rtol=1e-4)


def mixed(x, y=None):
    law = dist.MixtureSameFamily(
        dist.Categorical(probs=jnp.array([0.5, 0.5])), dist.Normal(jnp.zeros(2), 1.0)
    )
    w = numpyro.sample("w", dist.Normal(0, 1))
    numpyro.sample(
        "y", law.expand([len(x)]).to_event(1), obs=y + 0 * w if y is not None else y
    )


def test_a_likelihood_without_parameters_of_rows():
    with pytest.raises(ValueError, match="cannot be read as parameters of rows"):
        trained(mixed, Y, X, 1)
