"""Formulas beside bambi, in one run: seconds and estimates.

python benchmarks/studies/formulas.py [--data ../shared/data] [--only NAME ...]

bambi and blayers run in their environments (see peers.py), or not at all. blayers has no formulas:
a slope and an intercept are written with its layers, under our priors, where it has the likelihood.
All sides draw 2 chains of 1,000 after 1,000 steps of warm-up, one after the other, formulas with
the default priors of each. Seconds are those of the processor, all threads, compiling included,
which other programs on the machine do not change much. Of bambi they are those of a second run:
PyTensor keeps compiled operators on disk, PYTENSOR_FLAGS=base_compiledir=EMPTY gives those of a
first. Writes docs/tables/formulas.md after each formula, or those of its lines that are asked for.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from peers import ask, clocks, interpreter

NES = "partyid7 ~ real_ideo + race_adj + C(age_discrete) + educ1 + gender + income"
MESQUITE = (
    "np.log(weight) ~ np.log(diam1 * diam2 * canopy_height) + np.log(diam1 * diam2) "
    "+ np.log(diam1 / diam2) + np.log(total_height) + group"
)


class Case(NamedTuple):
    """A formula, its family, and the coefficient that is shown.

    Args:
        text: The formula.
        shown: The coefficient.
        family: The likelihood.
        published: Its published value.
        table: Which data; the case's name if None.
        sigma: The formula of the deviation.
        peer_text: The formula of bambi, if it is another one.
        peer: Further arguments of bambi's model; None if bambi cannot write it.
        link: The likelihood of blayers, if it has it.
    """

    text: str
    shown: str
    family: str = "gaussian"
    published: float | None = None
    table: str | None = None
    sigma: str | None = None
    peer_text: str | None = None
    peer: dict[str, str] | None = {}
    link: str | None = None


FORMULAS = {
    "sleepstudy": Case("Reaction ~ Days + (1 + Days | Subject)", "Days", published=10.467),
    "gasoline_yield": Case("yield ~ C(batch) + temp", "temp", "beta", 0.01097),
    "kidiq": Case("kid_score ~ mom_hs * mom_iq", "mom_hs", published=51.03),
    "mesquite": Case(
        MESQUITE,
        "group",
        published=-0.5386,
        peer_text=MESQUITE.replace("diam1 / diam2", "diam1 * diam2 ** -1.0"),
    ),
    "earnings": Case("np.log(earn) ~ height * male", "height", published=0.01699),
    "nes": Case(NES, "real_ideo", published=0.604),
    "counts": Case(
        "sold ~ price + offset(np.log(days)) + (1 | store)", "price", "poisson", -0.5
    ),
    "shares": Case("p(sold, days) ~ price", "price", "binomial"),
    "independent": Case(
        "Reaction ~ Days + (1 + Days || Subject)",
        "Days",
        published=10.467,
        table="sleepstudy",
        peer_text="Reaction ~ Days + (1 + Days | Subject)",
    ),
    "student": Case(
        "kid_score ~ mom_iq", "mom_iq", "t", table="kidiq", link="student_t_link"
    ),
    "levels": Case(
        "sold ~ 0 + C(shelf) + price", "price", "negativebinomial", -0.5, "shops"
    ),
    "beta_binomial": Case(
        "p(sold, days) ~ price", "price", "beta_binomial", table="shares"
    ),
    "logistic": Case(
        "dear ~ price", "price", "bernoulli", -1.0, "shops", link="logit_link"
    ),
    "gamma": Case("paid ~ price", "price", "gamma", -0.5, "shops", peer={"link": "log"}),
    "wald": Case("paid ~ price", "price", "wald", -0.5, "shops", peer={"link": "log"}),
    "zero_inflated": Case(
        "seen ~ price",
        "price",
        "zero_inflated_poisson",
        -0.5,
        "shops",
        link="zip_link",
    ),
    "hurdle": Case("seen ~ price", "price", "hurdle_poisson", table="shops"),
    "ordinal": Case("grade ~ price", "price", "cumulative", 1.0, "shops"),
    "deviation": Case("noisy ~ price", "price", "gaussian", 1.0, "shops", "~ price"),
    "process": Case(
        "wave ~ price + gp(hour, k=20)",
        "price",
        published=1.0,
        table="shops",
        peer_text="wave ~ price + hsgp(hour, m=20, c=1.5)",
    ),
    "smooth": Case(
        "wave ~ price + s(hour)", "price", published=1.0, table="shops", peer=None
    ),
    "surface": Case("wave ~ te(hour, price)", "Intercept", table="shops", peer=None),
    "monotone": Case("noisy ~ price + mo(shelf)", "price", table="shops", peer=None),
    "sparse": Case("noisy ~ price + hs(a, b, c, p0=1)", "price", table="shops", peer=None),
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
    return shops() if name == "shops" else pd.read_csv(folder / f"{name}.csv")


def shops():
    """Outcomes of many kinds, of which each has the slope that the table calls published."""
    rng, n = np.random.default_rng(1), 400
    price, hour = rng.uniform(1.0, 3.0, n), rng.uniform(0.0, 24.0, n)
    shelf = rng.integers(0, 4, n)
    mean = np.exp(2.0 - 0.5 * price + 0.2 * shelf)
    grade = (price + rng.logistic(size=n) > np.array([[1.0], [2.5]])).sum(0)
    columns = {
        "sold": rng.poisson(rng.gamma(3.0, mean / 3.0)),
        "dear": (rng.random(n) < 1 / (1 + np.exp(price - 2.0))).astype(int),
        "paid": rng.gamma(5.0, np.exp(2.0 - 0.5 * price) / 5.0),
        "seen": np.where(rng.random(n) < 0.2, 0, rng.poisson(np.exp(2.0 - 0.5 * price))),
        "grade": pd.Categorical.from_codes(grade, ["low", "middle", "high"], ordered=True),
        "noisy": price + rng.normal(size=n) * np.exp(0.8 * price - 2.0),
        "wave": price + np.sin(hour / 3.0) + 0.3 * rng.normal(size=n),
    }
    beside = dict(zip("abc", rng.normal(size=(3, n)), strict=True))
    return pd.DataFrame({"price": price, "hour": hour, "shelf": shelf, **columns, **beside})


def ours(name, folder):
    from numpyro_bayeslayers.formulas import fit_formula
    from numpyro_bayeslayers.infer import MCMC

    case = FORMULAS[name]
    method = MCMC(num_warmup=1000, num_samples=1000, num_chains=2)
    table = table_of(case.table or name, folder)
    parameters = {"sigma": case.sigma} if case.sigma else None
    start = clocks()
    more = {"parameters": parameters, "progress_bar": False}
    found = fit_formula(case.text, table, case.family, method, **more)
    draws = found.draws()
    site = case.shown if case.shown == "Intercept" else f"{case.shown}.beta"
    return measured(np.asarray(draws[site]).reshape(2000, -1)[:, 0], start)


def bambis(name, folder):
    import bambi

    case = FORMULAS[name]
    table = table_of(case.table or name, folder)
    start = clocks()
    text = case.peer_text or case.text
    if case.sigma:
        text = bambi.Formula(text, f"sigma {case.sigma}")
    model = bambi.Model(text, table, family=case.family, **case.peer)
    options = {"draws": 1000, "tune": 1000, "chains": 2, "cores": 1, "random_seed": 0}
    found = model.fit(progressbar=False, **options)
    return measured(np.asarray(found.posterior[case.shown]), start)


def of_layers(name, folder):
    """By blayers: an intercept at the average row, and one slope."""
    import blayers.layers
    import blayers.links
    import jax
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    case = FORMULAS[name]
    table = table_of(case.table or name, folder)
    outcome = case.text.split("~")[0].strip()
    x, y = table[case.shown].to_numpy(float), table[outcome].to_numpy()
    spread = 1.0 if case.family != "t" else y.std()
    middle = y.mean() if case.family == "t" else 0.0
    slope = dist.Normal, {"loc": 0.0, "scale": 2.5 * spread / x.std()}
    level = dist.Normal, {"loc": middle, "scale": 2.5 * spread}
    link = getattr(blayers.links, case.link)
    start = clocks()

    def model():
        out = blayers.layers.FixedPriorLayer(*slope)("slope", (x - x.mean())[:, None])
        link(out + blayers.layers.InterceptLayer(*level)("level"), y)

    chains = MCMC(
        NUTS(model),
        num_warmup=1000,
        num_samples=1000,
        num_chains=2,
        chain_method="sequential",
        progress_bar=False,
    )
    chains.run(jax.random.key(0))
    return measured(np.asarray(chains.get_samples()["FixedPriorLayer_slope_beta"]), start)


def measured(draws, start):
    seconds = [b - a for a, b in zip(start, clocks(), strict=True)]
    return {"mean": float(draws.mean()), "std": float(draws.std()), "seconds": seconds}


def peer(package, way, name, folder):
    """What a peer finds, in a process of its environment."""
    return ask(interpreter(package), __file__, way, name, "--data", folder)


def shown(found):
    if "error" in found:
        return "fails", "-"
    return f"{found['mean']:.3g} ({found['std']:.2g})", f"{found['seconds'][0]:.0f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--only", nargs="*", choices=FORMULAS, help="formulas; all if left out"
    )
    parser.add_argument("--as-peer")
    parser.add_argument("--as-layers")
    options = parser.parse_args()
    if options.as_peer:
        print(json.dumps(bambis(options.as_peer, options.data)))
        return
    if options.as_layers:
        print(json.dumps(of_layers(options.as_layers, options.data)))
        return
    from tables import keep, kept

    header = ("formula: coefficient", "published", "here", "CPU s", "bambi", "CPU s")
    header = (*header, "blayers", "CPU s")
    rows = {first: (rest + ["-"] * 2)[:7] for first, rest in kept("formulas").items()}
    for name in options.only or FORMULAS:
        case = FORMULAS[name]
        here, bambi, layers = ours(name, options.data), ("-", "-"), ("-", "-")
        if interpreter("bambi") and case.peer is not None:
            bambi = shown(peer("bambi", "--as-peer", name, options.data))
        if interpreter("blayers") and case.link is not None:
            layers = shown(peer("blayers", "--as-layers", name, options.data))
        print(name, here, bambi, layers, file=sys.stderr, flush=True)
        known = "-" if case.published is None else f"{case.published:g}"
        rows[f"{name}: `{case.shown}`"] = [known, *shown(here), *bambi, *layers]
        keep("formulas", header, [(first, *rest) for first, rest in rows.items()])


if __name__ == "__main__":
    main()
