"""Noise of airfoils by networks: modes, and chains from modes, beside sklearn-contrib-bde.

python benchmarks/studies/airfoil.py [--data ../shared/data] [--seeds 0] [--only NAME ...]

1,202 rows to fit and 301 to test, in units of the former's standard deviations; ten networks of
four hidden layers of 16 units, whose second output is the deviation. The NLL is that of one normal
with the mixture's mean and variance. The peer runs in its environment (see peers.py), with the
options of its documentation. Seconds are those of a fit in a process of its own, compiling
included: of the processor, all threads, and of the clock. Writes docs/tables/airfoil.md.
"""

import argparse
import itertools
import json
import os
import sys
from pathlib import Path

import numpy as np
from peers import ask, clocks, interpreter

SIZES = 5, 16, 16, 16, 16, 2
MEMBERS = 10
# Of some settings, the best on 202 of the rows to fit, which modes and chains did not see.
KERNEL = {
    "energy_variance": 0.05,
    "warmup_energy_variance": 2.0,
    "adapt_mass_matrix": False,
}


def table(folder):
    """Rows to fit and to test, in double precision, standardized by the former."""
    data = np.loadtxt(folder / "airfoil" / "data.csv", delimiter=",", skiprows=1)
    order = np.random.RandomState(0).permutation(len(data))
    test, train = data[order[:301]], data[order[301:]]
    train, test = ((rows - train.mean(0)) / train.std(0) for rows in (train, test))
    return train[:, :-1], train[:, -1], test[:, :-1], test[:, -1]


def network(x, y=None):
    import jax

    from numpyro_bayeslayers import layers

    for i, sizes in enumerate(itertools.pairwise(SIZES)):
        x = jax.nn.relu(x) if i else x
        x = layers.DenseReparameterization(*sizes, name=f"h{i}")(x)
    return layers.heteroscedastic_link(x[..., :1], x[..., 1:], y)


def starts(seed):
    """Weights that keep the variance of a deep network, as the peer's; the prior does not."""
    rng, values = np.random.default_rng(seed), {}
    for i, (size, units) in enumerate(itertools.pairwise(SIZES)):
        weight = rng.normal(size=(MEMBERS, size, units)) / np.sqrt(size)
        values[f"h{i}.weight"] = weight.astype("float32")
        values[f"h{i}.bias"] = np.zeros((MEMBERS, units), "float32")
    return values


def modes(x, y, seed):
    from numpyro_bayeslayers.infer import Modes

    return trained(Modes(num_members=MEMBERS, optim=0.01), x, y, seed)


def sampled(x, y, seed):
    from numpyro_bayeslayers.infer import SampledEnsemble

    method = SampledEnsemble(
        num_members=MEMBERS,
        optim=0.01,
        num_warmup=250,
        num_samples=100,
        kernel_options=KERNEL,
    )
    return trained(method, x, y, seed)


def trained(method, x, y, seed):
    from numpyro_bayeslayers.infer import fit

    found = fit(
        network,
        y=y[:, None],
        x=x,
        method=method,
        num_steps=8000,
        batch_size=200,
        init=starts(seed),
        seed=seed,
        progress_bar=False,
    )
    return lambda new: found.predict(x=new, num_samples=5000)[:2]


def peers(x, y, seed):
    # As its documentation asks: a device for each core.
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={os.cpu_count()}"
    from bde import BdeRegressor

    model = BdeRegressor(
        n_members=MEMBERS,
        hidden_layers=list(SIZES[1:-1]),
        seed=seed,
        epochs=1000,
        patience=20,
        warmup_steps=5000,
        n_samples=200,
        n_thinning=10,
        desired_energy_var_start=0.5,
        desired_energy_var_end=0.1,
    ).fit(x, y)
    return lambda new: model.predict(new, mean_and_std=True)


SIDES = {"modes": modes, "chains from modes": sampled, "sklearn-contrib-bde": peers}


def scores(name, folder, seed):
    """RMSE, NLL and seconds of one side."""
    x, y, new, right = (part.astype("float32") for part in table(folder))
    start = clocks()
    predict = SIDES[name](x, y, seed)
    mean, std = (np.asarray(a, float).ravel() for a in predict(new))
    seconds = np.subtract(clocks(), start)
    rmse = np.sqrt(np.mean((mean - right) ** 2))
    nll = np.mean(0.5 * ((right - mean) / std) ** 2 + np.log(std * np.sqrt(2 * np.pi)))
    return {"scores": [float(rmse), float(nll), *seconds.tolist()]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--only", nargs="*", choices=SIDES, default=list(SIDES))
    parser.add_argument("--side", choices=SIDES)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(scores(options.side, options.data, options.seeds[0])))
        return
    from tables import keep, kept

    header = ("", "RMSE", "NLL", "processor s", "clock s")
    rows = dict(kept("airfoil"))
    for name in options.only:
        python = interpreter("bde") if SIDES[name] is peers else sys.executable
        if python is None:
            print(f"{name} has no environment: see peers.py", file=sys.stderr)
            continue
        how = "--data", options.data, "--side", name, "--seeds"
        found = [ask(python, __file__, *how, seed) for seed in options.seeds]
        print(name, *found, file=sys.stderr, flush=True)
        if any("error" in each for each in found):
            rows[name] = ["fails", "-", "-", "-"]
            continue
        rmse, nll, used, clock = np.mean([each["scores"] for each in found], axis=0)
        rows[name] = [f"{rmse:.3f}", f"{nll:.2f}", f"{used:.0f}", f"{clock:.0f}"]
    keep("airfoil", header, [(name, *rest) for name, rest in rows.items()])


if __name__ == "__main__":
    main()
