"""Compressive strength of concrete by three Gaussian-process regressions.

python benchmarks/studies/concrete.py [--data ../shared/data]

The first standard split of the UCI set, inputs and target standardized by the training rows,
NUTS with 300 warm-up and 300 kept draws. Writes docs/tables/concrete.md.
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
from numpyro.handlers import condition
from numpyro.infer import MCMC, NUTS
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
    """The frequencies at one prior draw: NUTS moves lengthscales, noise and weights."""
    key_w, key_b = jax.random.split(jax.random.key(0))
    values = {
        "f/features/W": FEATURES._frequencies().sample(key_w),
        "f/features/b": jax.random.uniform(key_b, (300,), maxval=2 * np.pi),
    }
    return condition(model, values)


def conditional_moments(samples, x, y, x_test):
    """Predictive means and deviations of the collapsed model, draw by draw."""

    def one(sample):
        def model():
            posterior = PROCESS.condition(x, y, sample["sigma"])
            law = posterior.marginal(x_test, sample["sigma"])
            return law.mean, jnp.sqrt(law.variance)

        return numpyro.handlers.seed(frozen(condition(model, sample)), 0)()

    return jax.lax.map(one, samples)


def moments(model, samples, x_test):
    """Means and deviations of the likelihood, draw by draw."""

    def one(sample):
        sites = numpyro.handlers.trace(
            numpyro.handlers.seed(condition(model, sample), 0)
        ).get_trace(x_test)
        return sites["y"]["fn"].loc, jnp.broadcast_to(sites["y"]["fn"].scale, len(x_test))

    return jax.lax.map(one, samples)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--draws", type=int, default=300)
    arguments = parser.parse_args()
    x, y, x_test, y_test, unit = load(arguments.data)
    rows = []
    for label, model in (
        ("sum of 8 HSGPs of 20 functions", additive),
        ("300 Matérn features, weights sampled", frozen(sampled)),
        ("300 Matérn features, weights integrated out", frozen(integrated)),
    ):
        start = time.perf_counter()
        mcmc = MCMC(
            NUTS(model, target_accept_prob=0.8, max_tree_depth=8),
            num_warmup=arguments.draws,
            num_samples=arguments.draws,
            progress_bar=False,
        )
        mcmc.run(jax.random.key(1), x, y, extra_fields=("diverging", "num_steps"))
        samples = jax.block_until_ready(mcmc.get_samples())
        seconds = time.perf_counter() - start
        if "integrated" in label:
            mean, std = conditional_moments(samples, x, y, x_test)
        else:
            mean, std = moments(model, samples, x_test)
        error = np.asarray(mean.mean(0) - y_test) * unit
        log_density = dist.Normal(mean * unit, std * unit).log_prob(y_test * unit)
        nll = -np.mean(logsumexp(log_density, axis=0) - np.log(len(log_density)))
        extra = mcmc.get_extra_fields()
        rows.append(
            [
                label,
                f"{np.sqrt(np.mean(error**2)):.2f}",
                f"{nll:.2f}",
                f"{seconds:.0f}",
                f"{float(extra['num_steps'].mean()):.0f}",
                int(extra["diverging"].sum()),
            ]
        )
        print(rows[-1], flush=True)
    header = ["model", "RMSE (MPa)", "NLL", "seconds", "steps per draw", "divergences"]
    keep("concrete", header, rows)


if __name__ == "__main__":
    main()
