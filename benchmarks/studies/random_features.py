"""How well features stand for kernels, and what integrating the weights out buys.

python benchmarks/studies/random_features.py

Writes the tables of docs/features.md; about three minutes on one core.
"""

import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size
from numpyro.handlers import seed, substitute
from numpyro.infer import MCMC, NUTS
from tables import keep

from numpyro_bayeslayers import layers

DRAWS = 400
FREQUENCIES = 500
DIMENSIONS = (1, 2, 3, 10)
DISTANCES = np.array([0.1, 0.3, 1.0, 2.0])


def matern(r, nu):
    s = math.sqrt(2 * nu) * r
    return {0.5: 1, 1.5: 1 + s, 2.5: 1 + s + s**2 / 3}[nu] * np.exp(-s)


def kernel_errors():
    """Root mean square errors of single draws of 500 frequencies; the bias beside them."""
    members = {
        "RBF, paired": (layers.RBFFourierFeatures.init, lambda r: np.exp(-0.5 * r**2)),
        "RBF, phased": (layers.RBFCosineFeatures.init, lambda r: np.exp(-0.5 * r**2)),
        "Matérn 3/2, paired": (layers.MaternFourierFeatures.init, lambda r: matern(r, 1.5)),
        "Matérn 3/2, phased": (layers.MaternCosineFeatures.init, lambda r: matern(r, 1.5)),
        "Laplace, paired": (layers.LaplaceFourierFeatures.init, lambda r: matern(r, 0.5)),
        "Laplace, phased": (layers.LaplaceCosineFeatures.init, lambda r: matern(r, 0.5)),
    }
    rows = []
    for name, (make, exact) in members.items():
        row = [name]
        for dim in DIMENSIONS:
            found = kernel_draws(make(dim, FREQUENCIES, name="f"), dim)
            row.append(cell(found, exact(DISTANCES)))
        rows.append(row)
    row = ["independent Cauchy coordinates (not the Laplace kernel)"]
    for dim in DIMENSIONS:
        w = jax.random.cauchy(jax.random.key(1), (DRAWS, dim, FREQUENCIES))
        x = directions(dim)
        found = jnp.cos(jnp.einsum("rd,sdm->srm", x[1:], w)).mean(-1)
        row.append(cell(found, matern(DISTANCES, 0.5)))
    keep(
        "kernel_errors",
        ["features", *(f"{d} input{'s' * (d > 1)}" for d in DIMENSIONS)],
        [*rows, row],
    )


def directions(dim):
    one = np.random.default_rng(dim).normal(size=dim)
    return np.outer([0.0, *DISTANCES], one / np.linalg.norm(one)).astype(np.float32)


def kernel_draws(layer, dim):
    """Inner products of the first row with the others, for many draws of the layer."""
    x = jnp.asarray(directions(dim))

    def draw(key):
        phi = seed(substitute(layer, data={"f.lengthscale": jnp.ones(())}), key)(x)
        return phi[1:] @ phi[0]

    return jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), DRAWS))


def cell(found, exact):
    found = np.asarray(found, np.float64)
    error = np.sqrt(np.mean((found - exact) ** 2))
    bias = np.abs(found.mean(0) - exact).max()
    return f"{error:.3f} ({bias:.3f})"


def orthogonal():
    """Variance of the kernel's estimate, orthogonal over independent frequencies."""
    rows = []
    for dim in (2, 4, 10, 30):
        row = [dim]
        for blocks in (1, 2, 8):
            n_features = blocks * dim
            x = jnp.asarray(directions(dim)[[0, 3]])

            def ours(key, x=x, dim=dim, n_features=n_features):
                make = layers.OrthogonalRandomFeatures.init
                phi = make(dim, n_features, key=key)(x)
                return phi[0] @ phi[1]

            def plain(key, x=x, dim=dim, n_features=n_features):
                return jnp.cos(x[1] @ jax.random.normal(key, (dim, n_features))).mean()

            keys = jax.random.split(jax.random.key(0), 20_000)
            variances = [np.var(jax.jit(jax.vmap(f))(keys)) for f in (ours, plain)]
            row.append(f"{variances[0] / variances[1]:.2f}")
        rows.append(row)
    header = ["inputs D", *(f"M = {b} D" if b > 1 else "M = D" for b in (1, 2, 8))]
    keep("orthogonal_features", header, rows)


def convergence():
    """Largest error of the Gram matrix on [-1, 1]^D: L = 2, lengthscale 0.3, variance 1."""
    kernels = {
        "RBF": (layers.RBFKernel(1.0, 0.3), lambda r: np.exp(-0.5 * r**2)),
        "Matérn 5/2": (layers.MaternKernel(1.0, 0.3), lambda r: matern(r, 2.5)),
        "Matérn 3/2": (layers.MaternKernel(1.0, 0.3, nu=1.5), lambda r: matern(r, 1.5)),
        "Matérn 1/2": (layers.MaternKernel(1.0, 0.3, nu=0.5), lambda r: matern(r, 0.5)),
    }
    sizes = (4, 8, 16, 32, 64)
    rows = []
    for dim in (1, 2):
        x = np.random.default_rng(0).uniform(-1, 1, (60, dim)).astype(np.float32)
        r = np.linalg.norm(x[:, None] - x[None], axis=-1) / 0.3
        for name, (kernel, exact) in kernels.items():
            errors = []
            for size in sizes:
                layer = layers.HSGPFeatures.init(dim, size, 2.0, kernel=kernel, name="f")
                law = seed(layer.marginal, 0)(jnp.asarray(x), 1.0)
                gram = np.asarray(law.cov_factor @ law.cov_factor.T, np.float64)
                errors.append(f"{np.abs(gram - exact(r)).max():.1e}")
            rows.append([f"{name}, {dim} input{'s' * (dim > 1)}", *errors])
    keep("hsgp_convergence", ["kernel", *(f"M = {m}" for m in sizes)], rows)


def collapsed():
    """NUTS on hyperparameters alone, and on hyperparameters with weights."""
    key = jax.random.key(0)
    x = jnp.linspace(-1, 1, 100)[:, None]
    y = jnp.sin(6 * x[:, 0]) + 0.3 * jax.random.normal(key, (100,))
    layer = layers.HSGPFeatures.init(1, 30, 1.5, kernel=layers.MaternKernel(), name="f")

    def plain(x, y):
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
        numpyro.sample("y", dist.Normal(layer(x), sigma), obs=y)

    def integrated(x, y):
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
        numpyro.sample("y", layer.marginal(x, sigma), obs=y)

    names = ("sigma", "f.kernel.variance", "f.kernel.lengthscale")
    rows, rates = [], []
    for label, model in (
        ("weights sampled", plain),
        ("weights integrated out", integrated),
    ):
        kernel = NUTS(model, target_accept_prob=0.9)
        mcmc = MCMC(kernel, num_warmup=500, num_samples=2000, progress_bar=False)
        mcmc.warmup(jax.random.key(1), x, y)
        mcmc.run(jax.random.key(2), x, y)  # compiles
        start = time.perf_counter()
        fields = ("diverging", "num_steps")
        mcmc.run(jax.random.key(3), x, y, extra_fields=fields)
        draws = jax.block_until_ready(mcmc.get_samples(group_by_chain=True))
        seconds = time.perf_counter() - start
        ess = [float(effective_sample_size(np.asarray(draws[n]))) for n in names]
        rates.append(min(ess) / seconds)
        extra = mcmc.get_extra_fields()
        means = [
            f"{float(draws[n].mean()):.3f} ± {float(draws[n].std()):.3f}" for n in names
        ]
        steps = f"{float(extra['num_steps'].mean()):.1f}"
        divergences = int(extra["diverging"].sum())
        rows.append(
            [label, *means, steps, divergences, f"{min(ess):.0f}", f"{rates[-1]:.0f}"]
        )
    rows.append(["ratio", "", "", "", "", "", "", f"{rates[1] / rates[0]:.1f}"])
    header = ["", "sigma", "variance", "lengthscale", "steps per draw", "divergences"]
    keep("collapsed", [*header, "smallest ESS of 2,000", "ESS per second"], rows)


if __name__ == "__main__":
    kernel_errors()
    orthogonal()
    convergence()
    collapsed()
