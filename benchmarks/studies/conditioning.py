"""What conditioners cost, and a Bayesian hypernetwork beside concatenation on real data.

python benchmarks/studies/conditioning.py [--data ../shared/data]

Strength of concrete given its mix, with the age of the sample as context: EnsembleSVI under
flipout, eight members, the first standard split. Writes docs/tables/conditioner_costs.md and
docs/tables/conditioner_nll.md.
"""

import argparse
import math
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from jax.scipy.special import logsumexp
from numpyro.infer.autoguide import AutoNormal
from tables import keep

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.handlers import flipout
from numpyro_bayeslayers.infer import EnsembleSVI

FEATURES, ROWS = 64, 1024
STEPS = 3000


def costs():
    """Parameters, and seconds of a value and gradient, 64 features and 1024 rows."""
    makers = {
        "ConcatConditioner": lambda k, key: layers.ConcatConditioner.init(
            FEATURES, k, key=key
        ),
        "FiLM": lambda k, key: layers.FiLM.init(FEATURES, k, key=key),
        "HyperLinear": lambda k, key: layers.HyperLinear.init(
            FEATURES, FEATURES, k, key=key
        ),
    }
    key = jax.random.key(0)
    h = jax.random.normal(key, (ROWS, FEATURES))
    rows = []
    for name, make in makers.items():
        for shared in (True, False):
            cells = []
            for cond_dim in (4, 16, 64):
                shape = (cond_dim,) if shared else (ROWS, cond_dim)
                z = jax.random.normal(key, shape)
                layer = make(cond_dim, key)
                grad = eqx.filter_jit(eqx.filter_grad(lambda m, h, z: (m(h, z) ** 2).sum()))
                count = sum(
                    a.size for a in jax.tree.leaves(eqx.filter(layer, eqx.is_array))
                )
                cells.append(f"{count:,}: {median_ms(grad, layer, h, z):.2f} ms")
            rows.append([f"{name}, {'one context' if shared else 'one per row'}", *cells])
    keep("conditioner_costs", ["", *(f"K = {k}" for k in (4, 16, 64))], rows)


def median_ms(function, *args):
    jax.block_until_ready(function(*args))
    times = []
    for _ in range(15):
        start = time.perf_counter()
        jax.block_until_ready(function(*args))
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def network(conditioner):
    """One hidden layer of 32 units, conditioned on the context, and a readout."""

    def model(x, z, y=None):
        h = jnp.tanh(
            layers.DenseReparameterization(7, 32, prior_scale="fan_in", name="in")(x)
        )
        if conditioner is not None:
            h = jnp.tanh(conditioner(h, z))
        out = layers.DenseReparameterization(32, 1, prior_scale="fan_in", name="out")(h)
        numpyro.deterministic("mean", out[..., 0])
        layers.gaussian_link(out, y, "y")

    return model


def likelihood(folder):
    data = np.loadtxt(folder / "uci" / "concrete" / "data.csv", delimiter=",")
    data[:, 7] = np.log(data[:, 7])  # the age in days
    first = (folder / "uci" / "concrete" / "test_rows.csv").read_text().splitlines()[0]
    test = np.zeros(len(data), bool)
    test[[int(row) for row in first.split(",")]] = True
    mean, std = data[~test].mean(0), data[~test].std(0)
    scaled = jnp.asarray((data - mean) / std, jnp.float32)
    x, z, y = scaled[:, :7], scaled[:, 7:8], scaled[:, 8]
    std = 1 / math.sqrt(32)
    contenders = {
        "without age": None,
        "BayesianConcatConditioner": layers.BayesianConcatConditioner.init(
            32, 1, prior_std=std, name="c"
        ),
        "BayesianAffineModulation": layers.BayesianAffineModulation.init(32, 1, name="c"),
        "BayesianHyperLinear": layers.BayesianHyperLinear.init(
            32, 32, 1, prior_std=std, name="c"
        ),
    }
    rows = []
    for name, conditioner in contenders.items():
        model = network(conditioner)
        ens = EnsembleSVI(
            flipout(model),
            AutoNormal(model, init_scale=0.01),
            optax.adam(optax.cosine_decay_schedule(1e-2, STEPS)),
            num_members=8,
        )
        start = time.perf_counter()
        key = jax.random.key(0)
        result = ens.run(key, STEPS, x[~test], z[~test], y[~test], progress_bar=False)
        jax.block_until_ready(result.losses)
        seconds = time.perf_counter() - start
        sites = ("mean", "y.sigma")
        draws = ens.predict(
            jax.random.key(1), result, x[test], z[test], num_samples=50, return_sites=sites
        )
        unit = float(data[~test, 8].std())
        nll, rmse = score(draws["mean"], draws["y.sigma"], y[test], unit)
        rows.append([name, f"{rmse:.2f}", f"{nll:.2f}", f"{seconds:.0f}"])
        print(rows[-1], flush=True)
    keep("conditioner_nll", ["", "RMSE (MPa)", "NLL", "seconds"], rows)


def score(mean, std, y, unit):
    """Log score and error of the mixture over draws and members."""
    mean, std = mean.reshape(-1, len(y)), std.reshape(-1, 1)
    log_density = dist.Normal(mean * unit, std * unit).log_prob(y * unit)
    nll = -np.mean(logsumexp(log_density, axis=0) - np.log(len(log_density)))
    return float(nll), float(np.sqrt(np.mean((mean.mean(0) - y) ** 2))) * unit


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    costs()
    likelihood(arguments.data)
