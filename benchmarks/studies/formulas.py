"""Formulas beside bambi, in one run: seconds and estimates.

python benchmarks/studies/formulas.py [--data ../shared/data] [--peer PYTHON]

PYTHON is the interpreter of an environment of its own in which bambi is installed; without it
only our side runs. Both sides draw 2 chains of 1,000 after 1,000 steps of warm-up, one after the
other, with the default priors of each. Seconds are those of the processor, all threads, compiling
included, which other programs on the machine do not change much. Writes docs/tables/formulas.md.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

NES = "partyid7 ~ real_ideo + race_adj + C(age_discrete) + educ1 + gender + income"
MESQUITE = (
    "np.log(weight) ~ np.log(diam1 * diam2 * canopy_height) + np.log(diam1 * diam2) "
    "+ np.log(diam1 / diam2) + np.log(total_height) + group"
)
# By name: the formula, the family, and the coefficient that is shown with its published value.
FORMULAS = {
    "sleepstudy": ("Reaction ~ Days + (1 + Days | Subject)", "gaussian", "Days", 10.467),
    "gasoline_yield": ("yield ~ C(batch) + temp", "beta", "temp", 0.01097),
    "kidiq": ("kid_score ~ mom_hs * mom_iq", "gaussian", "mom_hs", 51.03),
    "mesquite": (MESQUITE, "gaussian", "group", -0.5386),
    "earnings": ("np.log(earn) ~ height * male", "gaussian", "height", 0.01699),
    "nes": (NES, "gaussian", "real_ideo", 0.604),
    "counts": (
        "sold ~ price + offset(np.log(days)) + (1 | store)",
        "poisson",
        "price",
        -0.5,
    ),
    "shares": ("p(sold, days) ~ price", "binomial", "price", None),
}
FOLDERS = {
    "kidiq": "kidiq-kidscore_interaction",
    "mesquite": "mesquite-logmesquite_logvash",
    "earnings": "earnings-logearn_interaction",
    "nes": "nes1980-nes",
}


def table_of(name, folder):
    """The data of a formula; those of shops are generated."""
    if name in FOLDERS:
        text = (folder / "posteriordb" / FOLDERS[name] / "data.json").read_text()
        columns = {k: v for k, v in json.loads(text).items() if isinstance(v, list)}
        return pd.DataFrame(columns)
    if name in ("counts", "shares"):
        rng = np.random.default_rng(0)
        store = rng.integers(0, 20, 400)
        price, days = rng.uniform(1.0, 3.0, 400), rng.integers(5, 30, 400)
        rate = days * np.exp(-0.5 * price - 0.5 + 0.3 * rng.normal(size=20)[store])
        sold = np.minimum(rng.poisson(rate), days if name == "shares" else 10**6)
        return pd.DataFrame({"sold": sold, "price": price, "days": days, "store": store})
    return pd.read_csv(folder / f"{name}.csv")


def processor_seconds():
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, who))


def ours(name, folder):
    from numpyro_bayeslayers.formulas import fit_formula
    from numpyro_bayeslayers.infer import MCMC

    text, family, shown, _ = FORMULAS[name]
    method = MCMC(num_warmup=1000, num_samples=1000, num_chains=2)
    table = table_of(name, folder)
    start = processor_seconds(), time.perf_counter()
    found = fit_formula(text, table, family, method, progress_bar=False)
    draws = found.draws()[f"{shown}.beta"]
    return measured(np.asarray(draws)[..., 0, 0], start)


def bambis(name, folder):
    import bambi

    text, family, shown, _ = FORMULAS[name]
    table = table_of(name, folder)
    start = processor_seconds(), time.perf_counter()
    model = bambi.Model(text, table, family=family)
    options = {"draws": 1000, "tune": 1000, "chains": 2, "cores": 1, "random_seed": 0}
    found = model.fit(progressbar=False, **options)
    return measured(np.asarray(found.posterior[shown]), start)


def measured(draws, start):
    seconds = processor_seconds() - start[0], time.perf_counter() - start[1]
    return {"mean": float(draws.mean()), "std": float(draws.std()), "seconds": seconds}


def peer(python, name, folder):
    """What bambi finds, in a process of its environment."""
    command = [python, __file__, "--as-peer", name, "--data", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def shown(found):
    if "error" in found:
        return "fails", "-"
    return f"{found['mean']:.3g} ({found['std']:.2g})", f"{found['seconds'][0]:.0f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--peer")
    parser.add_argument("--as-peer")
    options = parser.parse_args()
    if options.as_peer:
        print(json.dumps(bambis(options.as_peer, options.data)))
        return
    from tables import keep

    rows = []
    for name, (_, _, coefficient, published) in FORMULAS.items():
        here = ours(name, options.data)
        there = (
            peer(options.peer, name, options.data) if options.peer else {"error": "none"}
        )
        print(name, here, there, file=sys.stderr, flush=True)
        known = "-" if published is None else f"{published:g}"
        rows.append((f"{name}: `{coefficient}`", known, *shown(here), *shown(there)))
    header = ("formula: coefficient", "published", "here", "CPU s", "bambi", "CPU s")
    keep("formulas", header, rows)


if __name__ == "__main__":
    main()
