"""Five coefficients that matter among 200, in 100 rows, under each sparse prior.

python benchmarks/studies/sparse_regression.py

NUTS; intervals are of 90%, central. A coefficient counts as found if its interval leaves out
zero. Writes docs/tables/sparse_regression.md, means over data sets.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS
from tables import keep

from numpyro_bayeslayers import layers

ROWS, COLUMNS = 100, 200
BETA = np.zeros(COLUMNS)
BETA[:5] = 2.0, -1.5, 1.0, -1.0, 0.75


def ridge(sigma):
    return layers.AdaptiveLayer()


def horseshoe(sigma):
    return layers.HorseshoeLayer()


def sparse_horseshoe(sigma):
    tau0 = layers.expected_sparsity(5, COLUMNS, ROWS, sigma)
    return layers.HorseshoeLayer(global_scale=tau0)


def regularized_horseshoe(sigma):
    tau0 = layers.expected_sparsity(5, COLUMNS, ROWS, sigma)
    return layers.HorseshoeLayer(slab_scale=2.0, global_scale=tau0)


def spike_and_slab(sigma):
    slab = dist.Normal(0.0, 2.0)
    return layers.SpikeAndSlabLayer(5.0, 195.0, slab, inclusion="mixture", spike_scale=0.05)


def r2d2(sigma):
    return lambda name, x: layers.R2D2Layer(concentration=0.1)(name, x, sigma=sigma)


PRIORS = {
    "`AdaptiveLayer` (ridge)": ridge,
    "`HorseshoeLayer()`": horseshoe,
    "`HorseshoeLayer`, expected sparsity": sparse_horseshoe,
    "`HorseshoeLayer`, expected sparsity, slab of 2": regularized_horseshoe,
    "`SpikeAndSlabLayer`, mixture": spike_and_slab,
    "`R2D2Layer`": r2d2,
}
HEADER = (
    "Prior",
    "Nonzero coefficients covered, of 5",
    "Detected, of 5",
    "Zeros covered, of 195",
    "False detections, of 195",
    "Root mean square error",
    "Divergences per 1,000",
    "Smallest effective sample size of beta per 1,000",
    "Seconds",
)


def model(x, y, prior):
    sigma = numpyro.sample("sigma", dist.Exponential(1.0))
    f = PRIORS[prior](sigma)("f", x)[..., 0]
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(f, sigma), obs=y)


def measure(prior, seed, args):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, COLUMNS))
    y = x @ BETA + rng.normal(size=ROWS)
    mcmc = MCMC(
        NUTS(model),
        num_warmup=args.draws,
        num_samples=args.draws,
        num_chains=args.chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    start = time.perf_counter()
    key = jax.random.key(seed)
    mcmc.run(key, jnp.asarray(x), jnp.asarray(y), prior, extra_fields=("diverging",))
    beta = np.asarray(mcmc.get_samples(group_by_chain=True)["f.beta"])[..., 0]
    seconds = time.perf_counter() - start
    thousand = 1000 / (args.draws * args.chains)
    least = effective_sample_size(beta).min() * thousand
    beta = beta.reshape(-1, COLUMNS)
    low, high = np.quantile(beta, [0.05, 0.95], axis=0)
    covered, found = (low <= BETA) & (high >= BETA), (low > 0) | (high < 0)
    error = np.sqrt(np.mean(np.square(beta.mean(0) - BETA)))
    diverging = float(mcmc.get_extra_fields()["diverging"].sum()) * thousand
    counts = [
        a[part].sum() for part in (slice(5), slice(5, None)) for a in (covered, found)
    ]
    return [*counts, error, diverging, least, seconds]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--draws", type=int, default=500, help="of each chain, after as many"
    )
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--sets", type=int, default=3)
    args = parser.parse_args()
    rows = []
    for prior in PRIORS:
        means = np.mean([measure(prior, seed, args) for seed in range(args.sets)], axis=0)
        digits = (1, 1, 1, 1, 3, 0, 0, 0)
        numbers = (f"{m:.{d}f}" for m, d in zip(means, digits, strict=True))
        rows.append((prior, *numbers))
        print(rows[-1], flush=True)
    keep("sparse_regression", HEADER, rows)


if __name__ == "__main__":
    main()
