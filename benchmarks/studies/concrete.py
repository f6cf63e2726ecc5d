"""Compressive strength of concrete by three Gaussian-process regressions.

python benchmarks/studies/concrete.py [--data ../shared/data]

The first standard split of the UCI set, inputs and target standardized by the training rows.
The sum of processes by NUTS (200 warm-up and 200 kept draws); the features by variational
inference over frequencies, weights and hyperparameters; the same features with the weights
integrated out, at the mode of the hyperparameters. Writes docs/tables/concrete.md.
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from jax.scipy.special import logsumexp
from numpyro.handlers import condition, seed, trace
from numpyro.infer import MCMC, NUTS, SVI, Trace_ELBO, init_to_sample
from numpyro.infer.autoguide import AutoDelta, AutoNormal
from tables import keep

from numpyro_bayeslayers import layers

INPUTS = 8


def load(folder):
    data = np.loadtxt(folder / "uci" / "concrete" / "data.csv", delimiter=",")
    first = (folder / "uci" / "concrete" / "test_rows.csv").read_text().splitlines()[0]
    test = np.zeros(len(data), bool)
    test[[int(row) for row in first.split(",")]] = True
    mean, std = data[~test].mean(0), data[~test].std(0)
    scaled = jnp.asarray((data - mean) / std, jnp.float32)
    x, y = scaled[:, :-1], scaled[:, -1]
    return x[~test], y[~test], x[test], y[test], float(std[-1])


def additive(x, y=None):
    """A sum of one-dimensional processes, one for each input."""
    # Standardized inputs reach to 4.5: the box must hold them all.
    f = sum(
        layers.HSGPFeatures.init(
            1, 20, 7.0, kernel=layers.MaternKernel(nu=1.5), name=f"f{i}"
        )(x[:, i : i + 1])
        for i in range(INPUTS)
    )
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, sigma), obs=y)


FEATURES = layers.MaternCosineFeatures.init(
    INPUTS, 300, lengthscale=[3.0] * INPUTS, nu=1.5, name="features"
)
PROCESS = layers.RandomKitchenSinks.init(FEATURES, 1, name="f")


def sampled(x, y=None):
    """300 Matérn features, their weights sampled."""
    f = PROCESS(x)[:, 0]
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, sigma), obs=y)


def integrated(x, y=None):
    """The same, their weights integrated out."""
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    numpyro.sample("y", PROCESS.marginal(x, sigma), obs=y)


def frozen(model):
    """The frequencies and phases at one prior draw."""
    key_w, key_b = jax.random.split(jax.random.key(0))
    values = {
        "f.features.W": FEATURES._frequencies().sample(key_w),
        "f.features.b": jax.random.uniform(key_b, (300,), maxval=2 * np.pi),
    }
    return condition(model, values)


def by_nuts(model, x, y, x_test, draws):
    """Predictive means and deviations of the draws of a chain."""
    mcmc = MCMC(
        NUTS(model, max_tree_depth=8),
        num_warmup=draws,
        num_samples=draws,
        progress_bar=False,
    )
    mcmc.run(jax.random.key(1), x, y)
    return moments(model, mcmc.get_samples(), x_test)


def by_svi(model, x, y, x_test, draws):
    """The same of draws from a factorized normal posterior."""
    guide = AutoNormal(model, init_loc_fn=init_to_sample, init_scale=0.01)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, 4_000))
    svi = SVI(model, guide, optimizer, Trace_ELBO())
    result = svi.run(jax.random.key(1), 4_000, x, y, progress_bar=False)
    samples = guide.sample_posterior(
        jax.random.key(2), result.params, sample_shape=(draws,)
    )
    return moments(model, samples, x_test)


def by_evidence(model, x, y, x_test, draws):
    """The exact predictive law at the mode of the hyperparameters; the weights integrated out."""
    del draws
    guide = AutoDelta(model)
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-2, 300))
    svi = SVI(model, guide, optimizer, Trace_ELBO())
    result = svi.run(jax.random.key(1), 300, x, y, progress_bar=False)
    mode = guide.median(result.params)

    def predict():
        posterior = PROCESS.condition(x, y, mode["sigma"])
        law = posterior.marginal(x_test, mode["sigma"])
        return law.mean[None], jnp.sqrt(law.variance)[None]

    return seed(frozen(condition(predict, mode)), 0)()


def moments(model, samples, x_test):
    """Means and deviations of the likelihood, draw by draw."""

    def one(sample):
        sites = trace(seed(condition(model, sample), 0)).get_trace(x_test)
        return sites["y"]["fn"].loc, jnp.broadcast_to(sites["y"]["fn"].scale, len(x_test))

    return jax.lax.map(one, samples)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    x, y, x_test, y_test, unit = load(arguments.data)
    rows = []
    for label, model, fit in (
        ("sum of 8 HSGPs of 20 functions, NUTS", additive, by_nuts),
        ("300 Matérn features, all learned by SVI", sampled, by_svi),
        ("300 Matérn features, weights integrated out", frozen(integrated), by_evidence),
    ):
        start = time.perf_counter()
        mean, std = jax.block_until_ready(fit(model, x, y, x_test, 200))
        seconds = time.perf_counter() - start
        error = np.asarray(mean.mean(0) - y_test) * unit
        log_density = dist.Normal(mean * unit, std * unit).log_prob(y_test * unit)
        nll = -np.mean(logsumexp(log_density, axis=0) - np.log(len(log_density)))
        rmse = np.sqrt(np.mean(error**2))
        rows.append([label, f"{rmse:.2f}", f"{nll:.2f}", f"{seconds:.0f}"])
        print(rows[-1], flush=True)
    keep("concrete", ["model", "RMSE (MPa)", "NLL", "seconds"], rows)


if __name__ == "__main__":
    main()
