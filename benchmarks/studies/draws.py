"""Effective draws a second on posteriordb's models, beside other packages, in one run.

    python benchmarks/studies/draws.py [--only NAME ...] [--sides SIDE ...]

Each side fits in a process of its own: 4 chains of 1,000 draws after 500 steps of warm-up, one
after the other or together, as it does by itself; lines by a dense mass matrix where a side has
one. Shown are the least effective sample sizes of coefficients and scale (of the schools: their
effects, the mean and the spread), and these for each second of the processor, all threads, that
a whole call takes: the first one, which compiles, and a second one in the same process. Others
run in their environments (see peers.py), on the posterior that posteriordb has. Writes
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
    "schools": "eight_schools-eight_schools_noncentered",
}
SCHOOLS = 8


def rows(name):
    """Columns of a line, the constant first, and its outcome, a logarithm where that is normal.

    Of the schools, the known noise and the outcome.
    """
    data = json.loads((DATA / f"{LINES[name]}.json").read_text())["data"]
    d = {key: np.asarray(value, float) for key, value in data.items()}
    if name == "schools":
        return d["sigma"], d["y"]
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

    how = {"num_warmup": WARMUP, "num_samples": DRAWS, "num_chains": CHAINS}
    if name == "schools":
        group = np.arange(SCHOOLS)

        def of_schools(group, sigma, y=None):
            mean = layers.InterceptLayer(dist.Normal(0.0, 5.0))("mu")
            spread = dist.HalfCauchy(5.0)
            effect = layers.RandomEffectsLayer(scale_dist=spread)("school", group, SCHOOLS)
            return layers.gaussian_link(mean + effect, y, scale=sigma)

        def sampled(seed):
            given = {"y": y, "sigma": x, "group": group, "method": MCMC(**how)}
            draws = fit(of_schools, **given, seed=seed, progress_bar=False).draws()
            mean = np.asarray(draws["mu.beta"])[..., 0]
            effects = mean + np.asarray(draws["school.theta"])[..., 0]
            return np.concatenate([mean, effects], -1), draws["school.scale"]

        return sampled

    coef, noise = flat()
    noise = dist.HalfCauchy(2.5) if is_cauchy(name) else noise
    method = MCMC(**how, kernel_options={"dense_mass": True})

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

    def line(x, y):
        beta = numpyro.sample("beta", coef.expand([x.shape[1]]).to_event(1))
        sigma = numpyro.sample("sigma", noise)
        numpyro.sample("y", dist.Normal(x @ beta, sigma), obs=y)

    def of_schools(x, y):
        mean = numpyro.sample("mean", dist.Normal(0.0, 5.0))
        spread = numpyro.sample("sigma", dist.HalfCauchy(5.0))
        z = numpyro.sample("z", dist.Normal().expand([SCHOOLS]).to_event(1))
        theta = mean + spread * z
        numpyro.deterministic("beta", jax.numpy.append(theta, mean))
        numpyro.sample("y", dist.Normal(theta, x), obs=y)

    def run(seed):
        is_line = name != "schools"
        chains = MCMC(
            NUTS(line if is_line else of_schools, dense_mass=is_line),
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

    how = {"draws": DRAWS, "tune": WARMUP, "chains": CHAINS, "cores": 1}
    how |= {"inference_method": "nutpie", "progressbar": False}
    if name == "schools":
        names = [str(i) for i in range(SCHOOLS)]
        table = pd.DataFrame({"y": y, "noise": np.log(x), "school": names})
        spread = bambi.Prior("HalfCauchy", beta=5.0)
        priors = {
            "Intercept": bambi.Prior("Normal", mu=0.0, sigma=5.0),
            "1|school": bambi.Prior("Normal", mu=0.0, sigma=spread),
        }
        formula = bambi.Formula("y ~ 1 + (1|school)", "sigma ~ 0 + offset(noise)")

        def sampled(seed):
            model = bambi.Model(formula, table, priors=priors)
            found = model.fit(**how, random_seed=seed).posterior
            mean = np.asarray(found["Intercept"])[..., None]
            effects = mean + np.asarray(found["1|school"])
            return np.concatenate([mean, effects], -1), np.asarray(found["1|school_sigma"])

        return sampled

    columns = ["Intercept", *(f"x{i}" for i in range(1, x.shape[1]))]
    table = pd.DataFrame(dict(zip(columns, x.T, strict=True)) | {"y": y})
    cauchy = bambi.Prior("HalfCauchy", beta=2.5)
    priors = {name: bambi.Prior("Flat") for name in columns}
    noise = cauchy if is_cauchy(name) else bambi.Prior("HalfFlat")
    text = "y ~ 1 + " + " + ".join(columns[1:])

    def run(seed):
        model = bambi.Model(text, table, priors=priors | {"sigma": noise})
        found = model.fit(**how, random_seed=seed).posterior
        beta = np.stack([np.asarray(found[name]) for name in columns], -1)
        return beta, np.asarray(found["sigma"])

    return run


def of_blayers(name, x, y):
    """By blayers' layers and its own call of NUTS; wide normal priors, as it has no flat ones."""
    import jax.numpy as jnp
    import numpyro.distributions as dist
    from blayers.fit import fit
    from blayers.layers import FixedPriorLayer, InterceptLayer, RandomEffectsLayer
    from blayers.links import gaussian_link

    how = {"num_warmup": WARMUP, "num_mcmc_samples": DRAWS, "num_chains": CHAINS}
    how |= {"method": "mcmc", "y": jnp.asarray(y)[:, None]}
    split = lambda a: np.asarray(a).reshape(CHAINS, DRAWS, -1)
    if name == "schools":
        group = jnp.arange(SCHOOLS)

        def of_schools(group, noise, y=None):
            mean = InterceptLayer(coef_kwargs={"loc": 0.0, "scale": 5.0})("mu")
            spread = {"scale_dist": dist.HalfCauchy, "scale_kwargs": {"scale": 5.0}}
            effect = RandomEffectsLayer(**spread)("school", group, SCHOOLS)
            return gaussian_link(mean + effect, y, scale=noise)

        def sampled(seed):
            given = {"group": group, "noise": jnp.asarray(x)}
            draws = fit(of_schools, **given, **how, seed=seed).posterior_samples
            mean = split(draws["InterceptLayer_mu_beta"])
            effects = mean + split(draws["RandomEffectsLayer_school_theta"])
            spread = split(draws["RandomEffectsLayer_school_scale"])[..., 0]
            return np.concatenate([mean, effects], -1), spread

        return sampled

    wide = {"loc": 0.0, "scale": 1e4}
    half = dist.HalfCauchy if is_cauchy(name) else dist.HalfNormal
    noise = {"scale": 2.5 if is_cauchy(name) else 1e4}

    def model(x, y=None):
        mean = FixedPriorLayer(dist.Normal, wide)("b", x)
        return gaussian_link(mean, y, sigma_dist=half, sigma_kwargs=noise)

    def run(seed):
        found = fit(model, x=jnp.asarray(x), **how, seed=seed).posterior_samples
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
            rates = (each["least"] / each["used"] for each in (first, again))
            rates = (f"{float(f'{rate:.3g}'):g}" for rate in rates)
            lines[f"{name}: {side}"] = [f"{first['least']:.0f}", *rates]
    keep("draws", header, [(first, *rest) for first, rest in lines.items()])


if __name__ == "__main__":
    main()
