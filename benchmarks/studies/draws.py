"""Effective draws a second on posteriordb's models, beside other packages, in one run.

    python benchmarks/studies/draws.py [--only NAME ...] [--sides SIDE ...]

Each side fits in a process of its own: 4 chains of 1,000 draws after 500 steps of warm-up, one
after the other or together, as it does by itself. Shown are the least effective sample sizes of
coefficients and noise, and these for each second of the processor, all threads, that a whole
call takes: the first one, which compiles, and a second one in the same process. Others run in
their environments (see peers.py), on the posterior that posteriordb has. Writes
docs/tables/draws.md.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from peers import ask, clocks, interpreter

DATA = Path(__file__).parents[2] / "tests" / "data" / "posteriordb"
WARMUP, DRAWS, CHAINS = 500, 1000, 4
CALLS = "first", "again"
LINES = {
    "kidiq": "kidiq-kidscore_interaction",
    "nes": "nes1980-nes",
    "mesquite": "mesquite-logmesquite_logvash",
    "earnings": "earnings-logearn_interaction",
}


def rows(name):
    """Columns of a line, the constant first, and its outcome, a logarithm where that is normal."""
    data = json.loads((DATA / f"{LINES[name]}.json").read_text())["data"]
    d = {key: np.asarray(value, float) for key, value in data.items()}
    if name == "kidiq":
        x = d["mom_hs"], d["mom_iq"], d["mom_hs"] * d["mom_iq"]
        return with_constant(x, d["kid_score"])
    if name == "earnings":
        x = d["height"], d["male"], d["height"] * d["male"]
        return with_constant(x, np.log(d["earn"]))
    if name == "nes":
        aged = [(d["age_discrete"] == k).astype(float) for k in (2, 3, 4)]
        x = d["real_ideo"], d["race_adj"], *aged, d["educ1"], d["gender"], d["income"]
        return with_constant(x, d["partyid7"])
    product = d["diam1"] * d["diam2"]
    x = (
        np.log(product * d["canopy_height"]),
        np.log(product),
        np.log(d["diam1"] / d["diam2"]),
        np.log(d["total_height"]),
        d["group"],
    )
    return with_constant(x, np.log(d["weight"]))


def with_constant(columns, y):
    return np.stack([np.ones_like(y), *columns], 1), y


def is_cauchy(name):
    """Whether the noise has a half-Cauchy prior of scale 2.5; the others are flat."""
    return name == "kidiq"


def flat():
    import numpyro.distributions as dist

    real, positive = dist.constraints.real, dist.constraints.positive
    return dist.ImproperUniform(real, (), ()), dist.ImproperUniform(positive, (), ())


def ours(name, x, y):
    import numpyro.distributions as dist

    from numpyro_bayeslayers import layers
    from numpyro_bayeslayers.infer import MCMC, fit

    coef, noise = flat()
    noise = dist.HalfCauchy(2.5) if is_cauchy(name) else noise
    options = {"kernel_options": {"dense_mass": True}}
    method = MCMC(num_warmup=WARMUP, num_samples=DRAWS, num_chains=CHAINS, **options)

    def model(x, y=None):
        return layers.gaussian_link(layers.FixedPriorLayer(coef)("b", x), y, scale=noise)

    def run(seed):
        found = fit(model, y=y, x=x, method=method, seed=seed, progress_bar=False)
        return found.draws()["b.beta"][..., 0], found.draws()["obs.sigma"]

    return run


def stock(name, x, y):
    import jax
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    coef, noise = flat()
    noise = dist.HalfCauchy(2.5) if is_cauchy(name) else noise

    def model(x, y):
        beta = numpyro.sample("beta", coef.expand([x.shape[1]]).to_event(1))
        sigma = numpyro.sample("sigma", noise)
        numpyro.sample("y", dist.Normal(x @ beta, sigma), obs=y)

    def run(seed):
        chains = MCMC(
            NUTS(model, dense_mass=True),
            num_warmup=WARMUP,
            num_samples=DRAWS,
            num_chains=CHAINS,
            chain_method="vectorized",
            progress_bar=False,
        )
        chains.run(jax.random.key(seed), x, y)
        draws = chains.get_samples(group_by_chain=True)
        return draws["beta"], draws["sigma"]

    return run


def bambis(name, x, y):
    """By bambi's formula, flat priors, and nutpie."""
    import bambi
    import pandas as pd

    columns = ["Intercept", *(f"x{i}" for i in range(1, x.shape[1]))]
    table = pd.DataFrame(dict(zip(columns, x.T, strict=True)) | {"y": y})
    cauchy = bambi.Prior("HalfCauchy", beta=2.5)
    priors = {name: bambi.Prior("Flat") for name in columns}
    noise = cauchy if is_cauchy(name) else bambi.Prior("HalfFlat")
    text = "y ~ 1 + " + " + ".join(columns[1:])

    def run(seed):
        model = bambi.Model(text, table, priors=priors | {"sigma": noise})
        how = {"draws": DRAWS, "tune": WARMUP, "chains": CHAINS, "cores": 1}
        more = {"inference_method": "nutpie", "random_seed": seed, "progressbar": False}
        found = model.fit(**how, **more).posterior
        beta = np.stack([np.asarray(found[name]) for name in columns], -1)
        return beta, np.asarray(found["sigma"])

    return run


def of_blayers(name, x, y):
    """By blayers' layers and its own call of NUTS; wide normal priors, as it has no flat ones."""
    import jax.numpy as jnp
    import numpyro.distributions as dist
    from blayers.fit import fit
    from blayers.layers import FixedPriorLayer
    from blayers.links import gaussian_link

    wide = {"loc": 0.0, "scale": 1e4}
    half = dist.HalfCauchy if is_cauchy(name) else dist.HalfNormal
    noise = {"scale": 2.5 if is_cauchy(name) else 1e4}

    def model(x, y=None):
        mean = FixedPriorLayer(dist.Normal, wide)("b", x)
        return gaussian_link(mean, y, sigma_dist=half, sigma_kwargs=noise)

    how = {"num_warmup": WARMUP, "num_mcmc_samples": DRAWS, "num_chains": CHAINS}

    def run(seed):
        rows = {"y": jnp.asarray(y)[:, None], "x": jnp.asarray(x)}
        found = fit(model, **rows, method="mcmc", seed=seed, **how).posterior_samples
        split = lambda a: np.asarray(a).reshape(CHAINS, DRAWS, -1)
        return split(found["FixedPriorLayer_b_beta"]), split(found["sigma"])[..., 0]

    return run


SIDES = {"here": ours, "NumPyro": stock, "bambi": bambis, "blayers": of_blayers}


def measured(side, name):
    """Of a first and a second call: the draws, and the seconds of both clocks."""
    run, found = SIDES[side](name, *rows(name)), {}
    for call in CALLS:
        start = clocks()
        beta, sigma = (np.asarray(a, float) for a in run(CALLS.index(call)))
        used, clock = np.subtract(clocks(), start).tolist()
        draws = np.concatenate([beta, sigma[..., None]], -1).tolist()
        found[call] = {"draws": draws, "used": used, "clock": clock}
    return found


def of_side(side, name):
    """Least effective sizes and seconds by call, from a process of the side's environment."""
    python = sys.executable if side in ("here", "NumPyro") else interpreter(side)
    if python is None:
        return {"error": f"{side} has no environment: see benchmarks/studies/peers.py"}
    found = ask(python, __file__, "--measure", side, name)
    for call in CALLS if "error" not in found else ():
        from numpyro.diagnostics import effective_sample_size

        draws = np.asarray(found[call].pop("draws"))
        found[call]["least"] = float(np.min(effective_sample_size(draws)))
        found[call]["mean"] = draws.mean((0, 1)).tolist()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=LINES, default=list(LINES))
    parser.add_argument("--sides", nargs="*", choices=SIDES, default=list(SIDES))
    parser.add_argument("--measure", nargs=2, metavar=("SIDE", "NAME"))
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(*options.measure)))
        return
    from tables import keep, kept

    header = ("Model: side", "least effective sample size")
    header = (*header, "a second, first call", "a second, again")
    lines = dict(kept("draws"))
    for name in options.only:
        for side in options.sides:
            found = of_side(side, name)
            print(name, side, found, file=sys.stderr, flush=True)
            if "error" in found:
                continue
            first, again = found["first"], found["again"]
            rates = (f"{each['least'] / each['used']:.3g}" for each in (first, again))
            lines[f"{name}: {side}"] = [f"{first['least']:.0f}", *rates]
    keep("draws", header, [(first, *rest) for first, rest in lines.items()])


if __name__ == "__main__":
    main()
