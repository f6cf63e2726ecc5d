"""What other packages compute in their environments for the benchmarks; see peers.py.

Each side keeps running and answers calls, so that both sides of a comparison take turns while
what they have compiled stays. The data are generated, and the same here and there.
"""

import itertools
import os
import sys

import numpy as np
from peers import serve

# The regression of test_peers.py.
ROWS, COLUMNS, DRAWS = 2000, 5, 200
SLOPES = np.array([2.0, -1.0, 0.5, 0.0, 0.0])
# The network of test_ensemble.py.
WIDTHS, NETWORK_ROWS, RATE = (8, 64, 64, 1), 500, 1e-2
# The deep ensemble with chains.
CHAINS, HIDDEN, EPOCHS, THINNING = 4, (16, 16), 300, 10
WARMUP, KEPT, FIT_ROWS = 100, 50, 400


def line():
    """Rows of a linear regression and their outcomes."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, COLUMNS)).astype("float32")
    noise = 0.5 * rng.standard_normal(ROWS)
    return x, (x @ SLOPES + noise).astype("float32")


def waves():
    """Rows to fit and to test, of a sum of waves with noise of deviation 0.2."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2 * FIT_ROWS, COLUMNS)).astype("float32")
    y = np.sin(x[:, 0]) + np.cos(x[:, 1]) * x[:, 2] + 0.2 * rng.standard_normal(len(x))
    y = y.astype("float32")
    return x[:FIT_ROWS], y[:FIT_ROWS], x[FIT_ROWS:], y[FIT_ROWS:]


def scores(mean, std, right):
    """RMSE, and the NLL of one normal of each row's mean and deviation."""
    mean, std = np.asarray(mean, float).ravel(), np.asarray(std, float).ravel()
    far = (right - mean) / std
    nll = np.mean(0.5 * far**2 + np.log(std * np.sqrt(2 * np.pi)))
    return [float(np.sqrt(np.mean((mean - right) ** 2))), float(nll)]


def of_blayers():
    import jax
    import jax.numpy as jnp
    from blayers.fit import fit
    from blayers.layers import AdaptiveLayer
    from blayers.links import gaussian_link

    x, y = (jnp.asarray(part) for part in line())
    found = {}

    def model(x, y=None):
        return gaussian_link(AdaptiveLayer()("mu", x), y)

    def another(number):
        """A model that was not fitted before: it has a constant of its own."""
        return lambda x, y=None: model(x + 1e-4 * number, y)

    def steps(count, batch_size, number):
        chosen = model if number is None else another(number)
        # Its link takes columns alone.
        how = {"lr": 0.02, "num_steps": count, "batch_size": batch_size}
        found[number] = fit(chosen, y=y[:, None], x=x, **how)
        jax.block_until_ready(found[number].params)

    def predict(number):
        jax.block_until_ready(found[number].predict(x=x[:100], num_samples=1000).mean)

    def chain():
        """The least effective size of the coefficients; `autoreparam` leaves them centered."""
        from numpyro.diagnostics import effective_sample_size

        how = {"method": "mcmc", "num_warmup": DRAWS, "num_mcmc_samples": DRAWS}
        result = fit(model, y=y[:, None], x=x, autoreparam_model=False, **how)
        beta = np.asarray(result.posterior_samples["AdaptiveLayer_mu_beta"])[None]
        return float(effective_sample_size(beta).min())

    slopes = lambda number: np.ravel(found[number].predict(x=jnp.eye(COLUMNS)).mean)
    calls = {
        "steps": steps,
        "predict": predict,
        "summary": lambda number: found[number].summary(x=x) and None,
        "slopes": lambda number: slopes(number).tolist(),
        "chain": chain,
    }
    serve(calls, ["blayers", "jax", "numpyro"])


def of_torch():
    """An ensemble of networks as torch.func's tutorial has it, and torch's Adam."""
    import torch
    from torch.func import functional_call, grad_and_value, stack_module_state, vmap

    def network():
        layers = []
        for size, width in itertools.pairwise(WIDTHS):
            layers += [torch.nn.Linear(size, width), torch.nn.Tanh()]
        return torch.nn.Sequential(*layers[:-1])

    torch.manual_seed(0)
    x = torch.randn(NETWORK_ROWS, WIDTHS[0])
    y = torch.sin(x.sum(1))
    base, ready = network(), {}

    def loss(params, x, y):
        f = functional_call(base, params, (x,))[:, 0]
        prior = 0.5 * sum((p**2).sum() for p in params.values())
        return 0.5 * ((y - f) ** 2).sum() + prior

    def steps(members, count):
        if members not in ready:
            params, _ = stack_module_state([network() for _ in range(members)])
            adam = torch.optim.Adam(params.values(), lr=RATE)
            step = vmap(grad_and_value(loss), in_dims=(0, None, None))
            ready[members] = params, adam, step
        params, adam, step = ready[members]
        for _ in range(count):
            detached = {name: p.detach() for name, p in params.items()}
            grads, losses = step(detached, x, y)
            for name, p in params.items():
                p.grad = grads[name]
            adam.step()
        return float(losses.mean())

    serve({"steps": steps}, ["torch"])


def of_bde():
    # As its documentation asks: a device for each core.
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={os.cpu_count()}"
    from bde import BdeRegressor

    def fit(seed):
        x, y, new, right = waves()
        model = BdeRegressor(
            n_members=CHAINS,
            hidden_layers=list(HIDDEN),
            seed=seed,
            epochs=EPOCHS,
            lr=0.01,
            warmup_steps=THINNING * WARMUP,
            n_samples=KEPT,
            n_thinning=THINNING,
        ).fit(x, y)
        mean, std = model.predict(new, mean_and_std=True)
        return scores(mean, std, right)

    serve({"fit": fit}, ["sklearn-contrib-bde", "jax"])


if __name__ == "__main__":
    {"blayers": of_blayers, "torch": of_torch, "bde": of_bde}[sys.argv[1]]()
