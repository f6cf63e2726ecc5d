"""Models whose fits are saved in one process and read in another, by name."""

import sys

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd

from numpyro_bayeslayers.infer import load


def model(x, town, knots=None, kind="plain", y=None):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    effects = numpyro.sample("effects", dist.Normal(0, 1).expand([3]).to_event(1))
    mean = x @ w + effects[town]
    if kind == "bent":
        mean = mean + jnp.maximum(x[:, 0] - knots[0], 0.0)
    numpyro.deterministic("twice", 2 * w)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("obs", dist.Normal(mean, 0.5), obs=y)


def flat(x, y=None):
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("obs", dist.Normal(x @ w, scale), obs=y)


def table(rows=30):
    draw = np.random.default_rng(rows)
    x = pd.DataFrame(draw.normal(size=(rows, 2)), columns=["age", "dose"])
    return {"x": x, "town": np.array(["oslo", "rome", "bern"])[np.arange(rows) % 3]}


def given():
    """What is fitted, with constants beside."""
    data = table()
    y = (data["x"]["age"] - 0.5 * data["x"]["dose"]).to_numpy()
    return data | {"y": y, "knots": np.array([0.5, 1.0]), "kind": "bent"}


def numbers(found):
    """What a fit gives, by name."""
    predictions = found.predict(**table(7), num_samples=12)
    draws = found.draws(num_samples=3)
    told = {"samples": predictions.samples, "mean": predictions.mean}
    told |= {f"draws {name}": x for name, x in draws.items()}
    told["summary"] = found.summary(num_samples=3).to_numpy()
    if found.losses is not None:
        told["losses"] = found.losses
    return {name: np.asarray(x) for name, x in told.items()}


if __name__ == "__main__":
    for path in sys.argv[1:]:
        np.savez(path + ".npz", **numbers(load(path, model)))
