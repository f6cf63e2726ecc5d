"""All ways to know what a network does not know, side by side.

python benchmarks/studies/methods.py [--only NAME ...] [--tasks NAME ...] [--store FOLDER]

Two moons, a curve with a gap, and digits that are turned; the network (two hidden layers, normal
priors), the steps, the batches and the optimizer are the same for all. What is found is kept in a
folder as soon as it is there, and a second run goes on from it: remove a file to do it again.
Writes docs/tables/methods.md, methods_digits.md and docs/pictures/methods_*.png.
"""

import argparse
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
from methods_pictures import draw_pictures
from methods_tables import keep_tables
from methods_tasks import TASKS

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.basis import mean_field_logits
from numpyro_bayeslayers.handlers import anchored, flipout, mc_dropout
from numpyro_bayeslayers.infer import (
    MCMC,
    SGMCMC,
    SWAG,
    VI,
    Laplace,
    Modes,
    SampledEnsemble,
    Stein,
    fit,
    repulsive,
    stack,
)

MEMBERS, STEPS, KEY = 8, 2000, jax.random.key(0)
POINT = VI(guide="delta", optim=0.01)


def wide(d_in):
    """The standard deviation of weights, at which functions have one of about 2.5."""
    return 2.0 / float(np.sqrt(d_in))


def dense(name, d_in, d_out):
    return layers.DenseReparameterization(d_in, d_out, prior_scale=wide(d_in), name=name)


def hidden(task, x, make=dense, between=lambda h: h):
    """The last hidden units."""
    d_in, *widths, _ = task.sizes
    for i, width in enumerate(widths):
        x = between(jnp.tanh(make(f"hidden_{i}", d_in, width)(x)))
        d_in = width
    return x


def observe(task, f, y, of_members=False):
    """The outputs of rows, (..., n, out), and the law of what is seen."""
    f = numpyro.deterministic("f", f if task.has_classes else f[..., 0])
    if task.has_classes:
        law = dist.Categorical(logits=f)
    else:
        law = dist.Normal(f, numpyro.sample("sigma", dist.HalfNormal(1.0)))
    with numpyro.plate("rows", law.batch_shape[-1]):
        if of_members:
            layers.observe_members("y", law, y)
        else:
            numpyro.sample("y", law, obs=y)


def network(task, make=dense):
    """The network that all methods share."""

    def model(x, y=None):
        h = hidden(task, jnp.asarray(x), make)
        observe(task, make("out", *task.sizes[-2:])(h), y)

    return model


def of_members(task, make=dense, between=lambda h: h):
    """The network of an implicit ensemble."""

    def model(x, y=None):
        h = hidden(task, layers.tile_members(jnp.asarray(x), MEMBERS), make, between)
        observe(task, make("out", *task.sizes[-2:])(h), y, of_members=True)

    return model


def batch_ensemble(name, d_in, d_out):
    return layers.DenseBatchEnsemble(
        d_in, d_out, MEMBERS, prior_scale=wide(d_in), name=name
    )


def rank_one(name, d_in, d_out):
    return layers.DenseRank1(d_in, d_out, MEMBERS, prior_scale=wide(d_in), name=name)


class Clock:
    """The processor's seconds of the fits of one method: the first time, and again."""

    def __init__(self):
        self.first = self.again = 0.0

    def fit(self, task, model, method, rows=slice(None), y=None, x=None):
        """Fit twice: the programs of the first time serve the second."""
        how = {"num_steps": STEPS, "batch_size": task.batch_size}
        how = {} if isinstance(method, MCMC) else how
        x, y = (task.x, task.y) if y is None else (x, y)
        found = None
        for name in ("first", "again"):
            start = time.process_time()
            found = fit(
                model, y=y[rows], x=x[rows], method=method, progress_bar=False, **how
            )
            jax.block_until_ready(found.params or found.draws())
            setattr(self, name, getattr(self, name) + time.process_time() - start)
        return found


def size_of(found):
    """The numbers that predictions are made from."""
    kept = found.params or found.draws()
    names = (n for n in kept if not n.startswith("auto_log_evidence"))
    return sum(int(np.size(kept[n])) for n in names)


def answer(task, found):
    """Probabilities of labels; or log densities and draws of numbers, for all rows."""
    how = {"x": task.rows, "num_samples": task.num_draws}
    if task.has_classes:
        return {"p": found.predict(**how).probabilities}
    return {
        "log_density": found.log_density(y=task.labels, **how),
        "draws": found.predict(**how).samples,
    }


def normal_answer(task, mean, scale):
    """Of functions (draws, n) with normal noise."""
    draws = np.resize(np.asarray(mean), (task.num_draws, mean.shape[-1]))
    noise = np.random.default_rng(0).normal(size=draws.shape)
    logs = dist.Normal(mean, scale).log_prob(task.labels)
    deviations = np.resize(np.broadcast_to(scale, mean.shape), draws.shape)
    return {
        "log_density": logsumexp(logs, 0) - np.log(len(logs)),
        "draws": draws + deviations * noise,
    }


def fitted(make, method):
    """A method of `fit`, on the model that `make` makes of a task."""

    def run(task, clock):
        found = clock.fit(task, make(task), method(task) if callable(method) else method)
        return size_of(found), answer(task, found)

    return run


def mimo(task, clock, members=3):
    """One network for three rows at once."""
    parts = layers.MIMO(members)
    d_in, *widths, d_out = task.sizes
    of = task._replace(sizes=(members * d_in, *widths, members * d_out))

    def model(x, y=None):
        inner = lambda rows: dense("out", *of.sizes[-2:])(hidden(of, rows))
        f = jnp.moveaxis(parts(inner, jnp.asarray(x)), 0, 1)
        f = numpyro.deterministic("f", f if task.has_classes else f[..., 0])
        if task.has_classes:
            law = dist.Categorical(logits=f)
        else:
            law = dist.Normal(f, numpyro.sample("sigma", dist.HalfNormal(1.0)))
        with numpyro.plate("rows", len(x)), numpyro.handlers.scale(scale=1 / members):
            numpyro.sample("y", law.to_event(1), obs=y)

    x, y = parts.group(task.x, task.y, key=KEY)
    found = clock.fit(task, model, POINT, x=x, y=y)
    told = found.predict(x=parts.group(task.rows), site="f", num_samples=1).samples[0]
    if task.has_classes:
        return size_of(found), {"p": jax.nn.softmax(told, -1).mean(1)}
    sigma = found.params["sigma_auto_loc"][0]
    return size_of(found), normal_answer(task, told.T, sigma)


def sngp(task, clock):
    """Residual layers of bounded slope, random features, and a Laplace covariance on top."""
    d_in, width, _, d_out = task.sizes
    unit = (
        2.0 * (width / d_in) ** 0.5
    )  # what one unit of the inputs is behind the first layer
    gp = layers.RandomFeatureGaussianProcess.init(
        width, d_out, 64, key=KEY, lengthscale=unit, prior_scale=2.0, name="gp"
    )

    def model(x, y=None):
        h = dense("first", d_in, width)(jnp.asarray(x))
        for i in range(2):
            inner = dense(f"hidden_{i}", width, width)
            h = h + jnp.tanh(layers.SpectralNormalization(inner, name=f"bounded_{i}")(h))
        observe(task, gp(h), y)

    found = clock.fit(task, model, Modes(num_members=1, optim=0.01))
    mode = {n.removesuffix("_auto_loc"): x[0] for n, x in found.params.items()}
    sigma = mode.get("sigma", 1.0)
    kind = ("categorical", {}) if task.has_classes else ("gaussian", {"noise_scale": sigma})
    start = time.process_time()
    covariance = gp.covariance(kind[0], **kind[1])
    covariance = covariance.update(*gp.outputs_of(model, mode, task.x))
    features, f = gp.outputs_of(model, mode, task.rows)
    var = jax.block_until_ready(covariance.variance(features))
    clock.first += time.process_time() - start
    clock.again += time.process_time() - start
    size = size_of(found) + d_out * features.shape[-1] ** 2
    if task.has_classes:
        return size, {"p": jax.nn.softmax(mean_field_logits(f, var), -1)}
    scale = jnp.sqrt(var[:, 0] + sigma**2)
    return size, normal_answer(task, f[None, :, 0], scale[None])


def last_layer(task):
    """A last layer whose posterior is in closed form."""
    width, outputs = task.sizes[-2:]

    def model(x, y=None):
        h = hidden(task, jnp.asarray(x))
        if task.has_classes:
            last = layers.VariationalLastLayerClassifier
            law = last(width, outputs, prior_scale=wide(width), name="out")(h).categorical()
        else:
            last = layers.VariationalLastLayer(
                width, 1, prior_scale=wide(width), name="out"
            )
            law = last(h).normal(numpyro.sample("sigma", dist.HalfNormal(1.0)))
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", law, obs=y)

    return model


def epinet(task):
    """A small second network with a random index."""
    d_in, *_, width, outputs = task.sizes

    def model(x, y=None):
        x = jnp.asarray(x)
        h = hidden(task, x)
        more = layers.EpinetLayer.init(d_in + width, outputs, key=KEY, name="epinet")
        f = dense("out", width, outputs)(h) + more(jnp.concatenate([x, h], -1))
        observe(task, f, y)

    return model


def masksembles(task):
    masks = layers.Masksembles(MEMBERS, 2.0, task.sizes[1], key=KEY)
    return of_members(task, between=masks)


def stacked(task, clock):
    """Modes of four fifths of the rows, weighed by the others."""
    is_held = np.arange(len(task.y)) % 5 == 4
    model = network(task)
    found = clock.fit(task, model, Modes(num_members=MEMBERS, optim=0.01), ~is_held)
    start = time.process_time()
    whole = stack(found, y=task.y[is_held], x=task.x[is_held], num_samples=1)
    clock.first += time.process_time() - start
    how = {"x": task.rows, "num_samples": task.num_draws}
    size = size_of(found) + len(whole.weights)
    if task.has_classes:
        return size, {"p": whole.predict(**how).probabilities}
    logs = whole.log_density(y=task.labels, x=task.rows, num_samples=1)
    return size, {"log_density": logs, "draws": whole.predict(**how).samples}


def apart(task):
    """Members that repel each other at rows around the data."""
    rng = np.random.default_rng(1)
    low, high = task.x.min(0), task.x.max(0)
    middle, reach = (low + high) / 2, (high - low) / 2
    if task.name == "digits":
        rows = rng.permuted(task.x[:100], axis=1)  # the pixels of an image in another order
    else:
        rows = middle + 2 * reach * rng.uniform(-1, 1, (100, len(low)))
    push = repulsive(space="functions", function="f", rows={"x": rows})
    return Modes(num_members=MEMBERS, optim=0.01, repulsion=push)


def laplace(task):
    is_small = task.name != "digits"
    return Laplace(structure="full" if is_small else "kron", optim=0.01)


def swag(members):
    return SWAG(base=Modes(num_members=members, optim=0.01))


ONE = Modes(num_members=1, optim=0.01)
MANY = Modes(num_members=MEMBERS, optim=0.01)
NUTS = MCMC(
    num_warmup=300, num_samples=200, num_chains=2, kernel_options={"max_tree_depth": 8}
)
METHODS = {
    "one mode: `Modes(num_members=1)`": fitted(network, ONE),
    "deep ensemble: `Modes`": fitted(network, MANY),
    "repulsive ensemble: `repulsive`": fitted(network, apart),
    "anchored ensemble: `anchored`": fitted(lambda t: anchored(network(t)), MANY),
    "stacked ensemble: `stack`": stacked,
    "particles: `Stein`": fitted(network, Stein(num_particles=MEMBERS, optim=0.01)),
    "batch ensemble: `DenseBatchEnsemble`": fitted(
        lambda t: of_members(t, batch_ensemble), POINT
    ),
    "rank-1: `DenseRank1`": fitted(lambda t: of_members(t, rank_one), VI(optim=0.01)),
    "`MIMO` of three": mimo,
    "`Masksembles`": fitted(masksembles, POINT),
    "dropout: `mc_dropout`": fitted(lambda t: mc_dropout(network(t), 0.1), ONE),
    "SNGP: `RandomFeatureGaussianProcess`": sngp,
    "VBLL: `VariationalLastLayer`": fitted(last_layer, POINT),
    "epinet: `EpinetLayer`": fitted(epinet, POINT),
    "`Laplace`": fitted(network, laplace),
    "`SWAG`": fitted(network, swag(1)),
    "MultiSWAG: `SWAG` of eight": fitted(network, swag(MEMBERS)),
    "mean-field: `VI`": fitted(network, VI(optim=0.01)),
    "mean-field by `flipout`": fitted(lambda t: flipout(network(t)), VI(optim=0.01)),
    "Langevin: `SGMCMC`": fitted(network, SGMCMC(num_members=MEMBERS, optim=0.01)),
    "chains from modes: `SampledEnsemble`": fitted(
        network, SampledEnsemble(num_members=MEMBERS, optim=0.01)
    ),
    "NUTS: `MCMC`": fitted(network, NUTS),
}
#: Nine thousand weights are too many for the time that this study has.
LEFT_OUT = {("digits", "NUTS: `MCMC`")}


def file_of(store, task, name):
    short = "".join(c if c.isalnum() else "_" for c in name)
    return store / f"{task}-{short}.npz"


def measure(task, name):
    """Fit and predict; what is to be kept."""
    clock = Clock()
    start = time.process_time()
    size, found = METHODS[name](task, clock)
    found = {n: np.asarray(x, np.float32) for n, x in found.items()}
    if "draws" in found:
        found["interval"] = np.quantile(found["draws"], (0.05, 0.95), axis=0)
        found["mean"] = found.pop("draws").mean(0)
    whole = time.process_time() - start
    return {"size": size, "first": clock.first, "again": clock.again, "all": whole, **found}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=None, help="parts of names of methods")
    parser.add_argument("--tasks", nargs="*", choices=TASKS, default=list(TASKS))
    parser.add_argument("--store", type=Path, default=Path(".cache/methods"))
    options = parser.parse_args()
    options.store.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    tasks = {name: make() for name, make in TASKS.items()}
    for name in METHODS:
        if options.only is not None and not any(part in name for part in options.only):
            continue
        for kind in options.tasks:
            path = file_of(options.store, kind, name)
            if path.exists() or (kind, name) in LEFT_OUT:
                continue
            found = measure(tasks[kind], name)
            np.savez(path, **found)
            spent = f"{found['first']:.1f} {found['again']:.1f} of {found['all']:.1f} s"
            print(kind, name, found["size"], spent, file=sys.stderr, flush=True)
    read = partial(file_of, options.store)
    keep_tables(tasks, list(METHODS), read)
    draw_pictures(tasks, list(METHODS), read)


if __name__ == "__main__":
    main()
