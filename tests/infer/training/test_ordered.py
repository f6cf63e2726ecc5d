"""The same key gives the same numbers and the same program in every process."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import (
    RenyiELBO,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    elbo,
)
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer.training._ordered import ordered

NAMES = ("weight", "bias", "curve", "sigma")
Y = jnp.arange(6.0)


def model(y=None):
    sites = [numpyro.sample(name, dist.Normal(0, 1)) for name in NAMES]
    with numpyro.plate("rows", 6):
        numpyro.sample("y", dist.Normal(sum(sites), 1.0), obs=y)


def guide(y=None):
    for name in NAMES:
        numpyro.sample(name, dist.Normal(numpyro.param(f"{name}_loc", 0.1), 1.0))


def discrete(y=None):
    hidden = numpyro.sample("hidden", dist.Bernoulli(0.5))
    with numpyro.plate("columns", 2, dim=-2), numpyro.plate("rows", 6, dim=-1):
        numpyro.sample("y", dist.Normal(hidden, 1.0), obs=y)


def discrete_guide(y=None):
    numpyro.sample("hidden", dist.Bernoulli(numpyro.param("rate", jnp.array(0.4))))


class Reversed(set):
    """A set as another process may have it."""

    def __iter__(self):
        return iter(sorted(super().__iter__(), reverse=True))

    def union(self, other):
        return Reversed(super().union(other))


class Sorted(Reversed):
    def __iter__(self):
        return iter(sorted(set.__iter__(self)))

    def union(self, other):
        return Sorted(super().union(other))


def program(loss, model, guide):
    params = {f"{name}_loc": jnp.array(0.1) for name in NAMES} | {"rate": jnp.array(0.4)}
    value = lambda key: loss.loss(key, params, model, guide, Y)
    return str(jax.make_jaxpr(value)(jax.random.key(0)))


@pytest.mark.parametrize("options", [{}, {"num_particles": 2}], ids=["one", "two"])
def test_sums_go_in_the_order_of_the_model(monkeypatch, options):
    """NumPyro's own sum follows the set, ours does not."""
    programs = {"stock": set(), "ordered": set()}
    for kind in (Sorted, Reversed):
        monkeypatch.setattr(elbo, "set", kind, raising=False)
        stock = Trace_ELBO(**options)
        programs["stock"].add(program(stock, model, guide))
        programs["ordered"].add(program(ordered(stock), model, guide))
    assert len(programs["stock"]) == 2, "if one, NumPyro no longer sums over a set"
    assert len(programs["ordered"]) == 1


def test_plates_are_summed_from_left_to_right():
    """Not in the order of a set, which the names of plates decide."""
    text = program(ordered(TraceGraph_ELBO()), discrete, discrete_guide)
    left, right = text.find("reduce_sum[axes=(0,)"), text.find("reduce_sum[axes=(1,)")
    assert 0 < left < right


@pytest.mark.parametrize("kind", [Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO])
def test_is_the_same_objective(kind):
    stock = kind(num_particles=3)
    twin = ordered(stock)
    assert isinstance(twin, kind) and type(twin).__name__ == kind.__name__
    assert vars(twin) == vars(stock)
    params = {f"{name}_loc": jnp.array(0.1) for name in NAMES}
    values = [x.loss(jax.random.key(3), params, model, guide, Y) for x in (stock, twin)]
    np.testing.assert_allclose(*values, rtol=1e-6)


def test_others_stay_as_they_are():
    class Own(Trace_ELBO):
        pass

    for loss in (Own(), RenyiELBO(), TraceEnum_ELBO(), TraceMeanField_ELBO()):
        assert ordered(loss) is loss


def fitted():
    """Everything that is fitted, as numbers that can be written down without loss."""
    import optax

    from numpyro_bayeslayers.infer import EnsembleSVI, EnsembleVI, fit

    optim = optax.adam(0.05)
    quiet = {"progress_bar": False}
    results = [
        EnsembleSVI(model, AutoNormal, optim, num_members=2).run(0, 20, Y, **quiet),
        EnsembleVI(model, AutoNormal, optim, 2, 0.5).run(0, 20, Y, **quiet),
        fit(model, y=Y, num_steps=20, **quiet),
    ]
    leaves = jax.tree.leaves([(r.params, r.losses) for r in results])
    return [np.asarray(x).tobytes().hex() for x in leaves]


@pytest.mark.slow
def test_two_processes_agree(tmp_path):
    """Bit for bit, and what the first one compiled serves the second."""
    first, second = (_in_a_process(seed, tmp_path) for seed in ("1", "2"))
    assert first["numbers"] == second["numbers"]
    assert first["misses"] > 0
    assert second["misses"] == 0 and second["hits"] == first["misses"] + first["hits"]


def _in_a_process(hash_seed, cache):
    env = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.infer.training.test_ordered"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


if __name__ == "__main__":
    counts = {"hits": 0, "misses": 0}

    def count(event: str, **_: object) -> None:
        kind = event.removeprefix("/jax/compilation_cache/cache_")
        if kind in counts:
            counts[kind] += 1

    jax.monitoring.register_event_listener(count)
    print(json.dumps({"numbers": fitted(), **counts}))
