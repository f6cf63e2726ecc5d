"""Laws of distributions about arguments, shapes, JAX transformations and dtypes."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, ArrayLike
from numpyro.distributions.batch_util import promote_batch_shape, vmap_over
from numpyro.distributions.constraints import is_dependent
from numpyro.distributions.distribution import validation_enabled

from ._distribution_trial import DistributionTrial
from ._report import close


def law_arguments(trial: DistributionTrial) -> None:
    """A parameter out of range raises a ValueError that names it."""
    _check_arguments(trial, lambda make: make())


def law_arguments_in_jit(trial: DistributionTrial) -> None:
    """So does a concrete parameter inside a function that is being traced.

    NumPyro before 0.22 does not check parameters there, so the law does not apply.
    """

    def build(make: Callable[[], dist.Distribution]) -> None:
        jax.eval_shape(lambda: jnp.zeros(make().batch_shape))

    negative = jnp.array(-1.0)
    try:
        with validation_enabled():
            build(lambda: dist.Normal(0.0, negative))
    except ValueError:
        _check_arguments(trial, build)


def _check_arguments(
    trial: DistributionTrial, build: Callable[[Callable[[], dist.Distribution]], Any]
) -> None:
    constraints = trial.distribution.arg_constraints
    for name, bad in _bad_arguments(trial):
        said = "nothing"
        try:
            with validation_enabled():
                build(lambda name=name, bad=bad: trial.at(**{name: bad}))
        except ValueError as error:
            said = str(error)
        refused = name in said if name in constraints else said != "nothing"
        assert refused, f"`{name}` = {bad} raises {said}"


def _bad_arguments(trial: DistributionTrial) -> Iterator[tuple[str, Any]]:
    for name, value in trial.params.items():
        if is_dependent(trial.distribution.arg_constraints.get(name)):
            continue  # NumPyro cannot check them separately either
        value = np.asarray(value)
        if name in trial.movable:
            yield name, np.full(value.shape, np.nan, value.dtype)
        negative = -1 - np.abs(value)
        if not np.all(trial.constraint(name)(negative)):
            yield name, negative


def law_shapes(trial: DistributionTrial) -> None:
    """Draws, log densities and moments have the shapes of sample, batch and event."""
    d, key = trial.distribution, random.key(0)
    shape = tuple(d.batch_shape) + tuple(d.event_shape)
    for sample_shape in ((), (3,), (2, 3)):
        draws = jax.eval_shape(lambda s=sample_shape: d.sample(key, s))
        assert draws.shape == sample_shape + shape, (sample_shape, draws.shape)
        assert d.shape(sample_shape) == draws.shape
        found = jax.eval_shape(d.log_prob, draws).shape
        assert found == sample_shape + d.batch_shape, (sample_shape, found)
    event = jax.ShapeDtypeStruct(d.event_shape, draws.dtype)
    found = jax.eval_shape(d.log_prob, event).shape
    assert found == d.batch_shape, f"one event for all of the batch gives {found}"
    assert d.support is not None
    assert d.support.event_dim == d.event_dim, d.support
    for name, moment in trial.moments(d):
        assert jnp.shape(moment) == shape, (name, jnp.shape(moment))


def law_expand(trial: DistributionTrial) -> None:
    """Expanded once and twice, each cell has the same distribution and independent draws."""
    d, shape = trial.distribution, tuple(trial.distribution.batch_shape)
    once = d.expand((3,) + shape)
    twice = once.expand((2, 3) + shape)

    @jax.jit
    def log_probs(x: Array) -> list[Array]:
        several = [x.reshape((-1,) + new + x.shape[1:]) for new in ((3,), (2, 3))]
        return [e.log_prob(y) for e, y in zip((once, twice), several, strict=True)]

    expected = trial.log_probs[:6]
    for wide, new, found in zip(
        (once, twice), ((3,), (2, 3)), log_probs(trial.draws[:6]), strict=True
    ):
        assert wide.batch_shape == new + shape, wide.batch_shape
        assert wide.event_shape == d.event_shape, wide.event_shape
        rows = 6 // int(np.prod(new))
        assert found.shape == (rows,) + new + shape, found.shape
        close(found.reshape(expected.shape), expected, f"expanded to {wide.batch_shape}")
    draws = jax.jit(lambda: twice.sample(random.key(0), (2,)))()
    assert draws.shape == (2, 2, 3) + shape + d.event_shape, draws.shape
    cells = np.asarray(draws).reshape((12, -1))
    assert d.is_discrete or len(np.unique(cells, axis=0)) == 12, "cells have equal draws"
    if shape and shape[-1] > 1:
        said = "nothing"
        try:
            d.expand(shape[:-1] + (shape[-1] + 1,))
        except ValueError as error:
            said = str(error)
        assert said != "nothing", "an axis was expanded that is longer than one"


def law_to_event(trial: DistributionTrial) -> None:
    """`to_event` turns batch axes into event axes and sums the log density over them."""
    d = trial.distribution.expand((2,) + tuple(trial.distribution.batch_shape))
    value = trial.draws[:4].reshape((2, 2) + trial.draws.shape[1:])
    ndims = range(1, len(d.batch_shape) + 1)
    separate, joint = jax.jit(
        lambda x: (d.log_prob(x), [d.to_event(n).log_prob(x) for n in ndims])
    )(value)
    for ndim, found in zip(ndims, joint, strict=True):
        split = len(d.batch_shape) - ndim
        event_shape = d.batch_shape[split:] + d.event_shape
        assert d.to_event(ndim).batch_shape == d.batch_shape[:split]
        assert d.to_event(ndim).event_shape == event_shape
        expected = np.sum(separate, axis=tuple(range(-ndim, 0)))
        close(found, expected, f"to_event({ndim})")


def law_support(trial: DistributionTrial) -> None:
    """Draws are in the support and have a finite log density."""

    @jax.jit
    def look() -> tuple[Array, Array]:
        draws = trial.distribution.sample(random.key(2), (1000,))
        return trial.distribution.support(draws), trial.distribution.log_prob(draws)

    inside, log_prob = look()
    assert inside.shape == log_prob.shape, (inside.shape, log_prob.shape)
    assert np.all(inside), (
        f"{np.sum(~inside)} of {inside.size} draws are outside the support"
    )
    assert np.all(np.isfinite(log_prob)), "the log density of a draw is not finite"


def law_out_of_support(trial: DistributionTrial) -> None:
    """With validation, values outside the support give a warning and log density -inf."""
    with validation_enabled():
        d = trial.at()
    x = trial.draws[:1]
    log_prob = jax.jit(d.log_prob)
    candidates = [-1 - jnp.abs(x), x + 0.5, 2 + jnp.abs(x)]
    if jnp.issubdtype(x.dtype, jnp.inexact):
        candidates.append(jnp.full_like(x, jnp.nan))
    for value in candidates:
        outside = ~np.asarray(d.support(value))
        if not outside.any():
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = np.asarray(d.log_prob(value))
        assert np.all(np.isneginf(found[outside])), (value, found)
        assert any("Out-of-support" in str(w.message) for w in caught), "no warning"
        compiled = np.asarray(log_prob(value))
        assert np.all(np.isneginf(compiled[outside])), "inside jit"


def law_jit(trial: DistributionTrial) -> None:
    """Compiled and eager draws and log densities agree, parameters traced or not."""
    d, x = trial.distribution, trial.draws

    @jax.jit
    def compiled(params: Mapping[str, ArrayLike]) -> tuple[Array, Array]:
        traced = trial.at(**params)
        return traced.sample(random.key(0), (8,)), traced.log_prob(x)

    expected = (d.sample(random.key(0), (8,)), trial.log_probs)
    close(x, expected[0], "compiled draws against eager ones")
    close(compiled(trial.params), expected, "traced parameters against eager")


def law_pytree(trial: DistributionTrial) -> None:
    """Flattening and unflattening, jit and `lax.map` leave the distribution unchanged."""
    d, x, expected = trial.distribution, trial.draws, trial.log_probs
    leaves, structure = jax.tree.flatten(d)
    mapped = jax.lax.map(lambda _: trial.at(), jnp.zeros(2))
    ways = {
        "rebuilt": jax.tree.unflatten(structure, leaves),
        "returned from jit": jax.jit(lambda: trial.at())(),
        "returned from lax.map": jax.tree.map(lambda leaf: leaf[1], mapped),
    }
    log_prob = jax.jit(lambda d, x: d.log_prob(x))
    for how, again in ways.items():
        assert type(again) is type(d), (how, type(again))
        assert again.batch_shape == d.batch_shape, (how, again.batch_shape)
        assert again.event_shape == d.event_shape, (how, again.event_shape)
        assert again.event_dim == d.support.event_dim, how
        for name in d.get_args():
            close(getattr(again, name), getattr(d, name), f"`{name}` {how}")
        close(log_prob(again, x), expected, how)
    close(jax.lax.map(lambda x: d.log_prob(x), x), expected, "inside lax.map")


def law_vmap(trial: DistributionTrial) -> None:
    """A distribution can be passed into and returned from `jax.vmap` over a parameter."""
    x, lanes = trial.draws[0], 3
    fields = type(trial.distribution).gather_pytree_data_fields()
    for name in trial.movable:

        @jax.jit
        def evaluate(values: Array, name: str = name) -> dict[str, Array]:
            make = lambda value: trial.at(**{name: value})
            log_prob = lambda d: d.log_prob(x)
            out = promote_batch_shape(jax.vmap(make)(values))
            shape = (lanes,) + trial.distribution.batch_shape
            assert out.batch_shape == shape, out.batch_shape
            found = {"expected": jax.lax.map(lambda value: log_prob(make(value)), values),
                     "inside": jax.vmap(lambda value: log_prob(make(value)))(values),
                     "returned from": log_prob(out)}  # fmt: skip
            if name in fields:
                axes = vmap_over(trial.distribution, **{name: 0})
                mapped = jax.vmap(make, out_axes=axes)(values)
                found["into"] = jax.vmap(log_prob, in_axes=(axes,))(mapped)
            return found

        values = jnp.stack([trial.moved(name, 0.2 * i) for i in range(lanes)])
        found = evaluate(values)
        for how, log_probs in found.items():
            close(log_probs, found["expected"], f"{how} vmap over `{name}`")


def law_float64(trial: DistributionTrial) -> None:
    """With x64 enabled, draws, log densities and moments are in double precision."""
    with jax.enable_x64(True):
        d = trial.double.distribution
        draws = jax.eval_shape(lambda: d.sample(random.key(0), (2,)))
        found = {"log_prob": jax.eval_shape(d.log_prob, draws), **dict(trial.moments(d))}
        if not d.is_discrete:
            found["draws"] = draws
        for what, array in found.items():
            assert array.dtype == np.float64, (what, array.dtype)


def law_float32(trial: DistributionTrial) -> None:
    """Log densities in single and double precision agree up to rounding."""
    wide = np.asarray(trial.draws)
    if np.issubdtype(wide.dtype, np.floating):
        wide = wide.astype(np.float64)
    with jax.enable_x64(True), validation_enabled(False):  # rounding may leave the support
        d = trial.double.at()
        expected = np.asarray(jax.jit(d.log_prob)(wide))
    np.testing.assert_allclose(trial.log_probs, expected, rtol=2e-5, atol=1e-4)
