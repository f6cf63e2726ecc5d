"""How NUTS does on hierarchical terms under weak and strong data, by parametrization.

    python benchmarks/studies/centering.py

writes docs/tables/centering.md, and of its rows docs/tables/automatic.md. Each row is the mean
over data sets of one model's runs; the seconds are those of the processor, warm-up and the trials
of "automatic", ``MCMC(centering="auto")``, counted, of the sets after the first, which compiles the
programs. Lines that are not asked for stay.
"""

import argparse
import time
import warnings

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size
from tables import keep, kept

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.infer import MCMC, fit

STEPS = 60
LOWER = jnp.tril(jnp.ones((STEPS, STEPS)))


def gaussian(term):
    """One term, and noise of unknown size."""

    def model(x, y=None):
        f = term("term", x)[..., 0]
        sigma = numpyro.sample("sigma", dist.Exponential(1.0))
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Normal(f, sigma), obs=y)

    return model


def sparse_data(rng):
    """60 rows, 30 columns of which three matter."""
    x = rng.normal(size=(60, 30))
    beta = np.zeros(30)
    beta[:3] = 2.0, -1.5, 1.0
    return x, x @ beta + rng.normal(size=60)


def grouped_data(rng, rows, noise=1.0, groups=20):
    """Groups with a spread of a half."""
    x = np.repeat(np.arange(groups), rows)
    return x, 0.5 * rng.normal(size=groups)[x] + noise * rng.normal(size=x.size)


def walk_data(rng, rows, noise=1.0):
    """60 steps of 0.15."""
    x = np.repeat(np.arange(STEPS), rows)
    walk = np.cumsum(0.15 * rng.normal(size=STEPS))
    return x, walk[x] + noise * rng.normal(size=x.size)


def horseshoe(centered, slab):
    return layers.HorseshoeLayer(slab, centered=centered)


def effects(centered, groups=20):
    layer = layers.RandomEffectsLayer(centered=centered)
    return lambda name, x: layer(name, x, groups)


def walk(centered):
    layer = layers.RandomWalkLayer(centered=centered)
    return lambda name, x: layer(name, x, STEPS)


def plain_walk(centered):
    """The steps themselves, as coefficients of a triangle of ones."""
    layer = layers.AdaptiveLayer(centered=centered)
    return lambda name, x: layer(name, LOWER[x])


PROBLEMS = {
    "random effects, 20 groups of 2": (
        lambda rng: grouped_data(rng, 2),
        {
            "centered": effects(True),
            "half centered": effects(0.5),
            "**non-centered**": effects(False),
            "automatic": effects(False),
        },
    ),
    "random effects, 8 groups of 1, much noise": (
        lambda rng: grouped_data(rng, 1, 2.0, 8),
        {
            "centered": effects(True, 8),
            "half centered": effects(0.5, 8),
            "**non-centered**": effects(False, 8),
            "automatic": effects(False, 8),
        },
    ),
    "random effects, 20 groups of 50, little noise": (
        lambda rng: grouped_data(rng, 50, 0.1),
        {
            "**centered**": effects(True),
            "half centered": effects(0.5),
            "non-centered": effects(False),
            "automatic": effects(False),
        },
    ),
    "random walk, 60 steps of 1 row": (
        lambda rng: walk_data(rng, 1),
        {
            "centered steps": plain_walk(True),
            "non-centered steps": plain_walk(False),
            "components, centered": walk(True),
            "components, half centered": walk(0.5),
            "**components, non-centered**": walk(False),
            "components, automatic": walk(False),
        },
    ),
    "random walk, 60 steps of 20 rows, little noise": (
        lambda rng: walk_data(rng, 20, 0.1),
        {
            "centered steps": plain_walk(True),
            "non-centered steps": plain_walk(False),
            "**components, centered**": walk(True),
            "components, half centered": walk(0.5),
            "components, non-centered": walk(False),
            "components, automatic": walk(False),
        },
    ),
    "horseshoe, 60 rows, 30 columns": (
        sparse_data,
        {
            "centered": horseshoe(True, None),
            "**non-centered**": horseshoe(False, None),
            "centered, slab of 2": horseshoe(True, 2.0),
            "**non-centered, slab of 2**": horseshoe(False, 2.0),
            "automatic, slab of 2": horseshoe(False, 2.0),
        },
    ),
}

HEADER = (
    "Problem: form of the coefficients",
    "Divergences per 1,000 draws",
    "Smallest effective sample size per 1,000 draws",
    "Leapfrog steps per draw",
    "CPU seconds",
    "Effective sample size per second",
)
AUTOMATIC = (
    "Problem",
    "centered: ESS per 1,000 draws, per second",
    "non-centered",
    "automatic",
    "automatic / better form: ESS per 1,000 draws",
    "ESS per second",
)


def measure(term, centering, x, y, args):
    """Divergences, the least effective sample size, steps, seconds of one run."""
    method = MCMC(
        num_warmup=args.draws,
        num_samples=args.draws,
        num_chains=args.chains,
        centering=centering,
    )
    start = time.process_time()
    how = {"method": method, "seed": args.seed, "progress_bar": False}
    with warnings.catch_warnings(action="ignore"):
        found = fit(gaussian(term), y=y, x=x, **how)
    seconds = time.process_time() - start
    extra = found.result.mcmc.get_extra_fields()
    # What a user reads: coefficients and scales, not the base they are made of.
    seen = found.draws().values()
    least = min(float(np.min(effective_sample_size(np.asarray(v)))) for v in seen)
    thousand = 1000 / (args.draws * args.chains)
    steps = float(extra["num_steps"].mean())
    divergent = float(extra["diverging"].sum()) * thousand
    return divergent, least * thousand, steps, seconds


def beside(rows):
    """Automatic rows beside the two fixed ones, and as shares of the better one."""
    problems = {}
    for name, _, least, _, _, rate in rows:
        if rate == "-":
            continue
        problem, kind = name.split(": ")
        kind = kind.replace("*", "").removeprefix("components, ")
        kind, _, slab = kind.partition(", ")
        case = f"{problem}, {slab}" if slab else problem
        problems.setdefault(case, {})[kind] = float(least), float(rate)
    for problem, kinds in problems.items():
        if not {"centered", "non-centered", "automatic"} <= set(kinds):
            continue
        both = kinds["centered"], kinds["non-centered"]
        best = np.max(both, axis=0)
        cells = [f"{a:.0f}, {b:.0f}" for a, b in (*both, kinds["automatic"])]
        yield problem, *cells, *(f"{x:.2f}" for x in kinds["automatic"] / best)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--draws", type=int, default=500, help="of each chain, after as many"
    )
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument(
        "--sets", type=int, default=10, help="data sets, whose mean is shown"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of a problem's name")
    parser.add_argument(
        "--kind", default="", help="what a parametrization's name ends with"
    )
    args = parser.parse_args()
    rows = {name: (name, *cells) for name, cells in kept("centering").items()}
    for problem, (make, terms) in PROBLEMS.items():
        if args.only not in problem:
            continue
        for kind, term in terms.items():
            if not kind.strip("*").endswith(tuple(args.kind.split("|"))):
                continue
            runs = []
            centering = "auto" if "automatic" in kind else None
            for i in range(args.sets):
                x, y = make(np.random.default_rng(args.seed + i))
                runs.append(measure(term, centering, x, y, args))
            *counts, _ = np.mean(runs, axis=0)
            seconds = np.mean(runs[1:] or runs, axis=0)[-1]
            rate = counts[1] * args.draws * args.chains / 1000 / seconds
            means = (*(f"{mean:.0f}" for mean in counts), f"{seconds:.2f}", f"{rate:.0f}")
            name = f"{problem}: {kind}"
            rows[name] = (name, *means)
            print(*rows[name], flush=True)
    keep("centering", HEADER, rows.values())
    keep("automatic", AUTOMATIC, list(beside(rows.values())))


if __name__ == "__main__":
    main()
