"""The laws of layers.

A law is a function of a `Trial`, named ``law_*``, that raises `AssertionError`. To add one,
write it here; it then applies to every public layer.
"""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, PyTree
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import log_density

from .._base import AbstractLayer, snake_case
from ._report import LawReport, close, laws_in, run_laws


@dataclasses.dataclass
class Trial:
    """A layer under test and its inputs."""

    layer: AbstractLayer
    inputs: tuple[Any, ...]

    @cached_property
    def sites(self) -> dict[str, Any]:
        """The trace of one prior draw."""
        return trace(seed(self.layer, 0)).get_trace(*self.inputs)

    @cached_property
    def values(self) -> dict[str, Array]:
        """The values of sample and param sites by name."""
        return _values(self.sites)

    @cached_property
    def output(self) -> PyTree:
        """The layer's output at these values."""
        return _run(self.layer, self.values, self.inputs)

    def renamed(self, name: str | None) -> AbstractLayer:
        """The same layer with another name."""
        twin = copy.copy(self.layer)
        object.__setattr__(twin, "name", name)
        return twin


def _values(sites: Mapping[str, Any]) -> dict[str, Array]:
    return {
        name: site["value"]
        for name, site in sites.items()
        if site["type"] == "param" or (site["type"] == "sample" and not site["is_observed"])
    }


def _run(
    fn: Callable[..., Any], values: Mapping[str, Any], inputs: tuple[Any, ...]
) -> PyTree:
    """The output of `fn` at given site values; other randomness uses a fixed key."""
    return seed(substitute(fn, data=dict(values)), 0)(*inputs)


def _energy(out: PyTree) -> Array:
    """A scalar that depends on every output."""
    squares = [jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(out)]
    return jnp.sum(jnp.stack(squares))


def _names(layer: Callable[..., Any], key: int, inputs: tuple[Any, ...]) -> list[str]:
    """The names of the sites in order, without computing anything."""
    names: list[str] = []

    def run() -> None:
        names.extend(trace(seed(layer, key)).get_trace(*inputs))

    jax.eval_shape(run)
    return names


def law_names(trial: Trial) -> None:
    """Site names start with the layer's name (by default its class name) and are reproducible."""
    for name, prefix in (
        ("a_name", "a_name"),
        (None, snake_case(type(trial.layer).__name__)),
    ):
        layer = trial.renamed(name)
        first = _names(layer, 0, trial.inputs)
        again = _names(copy.deepcopy(layer), 1, trial.inputs)
        assert first, "the layer has no sites"
        assert all(site.startswith(f"{prefix}.") for site in first), (prefix, first)
        assert first == again, "the sites' names differ between two runs"


def law_event_shapes(trial: Trial) -> None:
    """Outside plates, a latent site has an empty batch shape: all its axes are event axes."""
    for name, site in trial.sites.items():
        if site["type"] == "sample" and not site["is_observed"]:
            assert site["fn"].batch_shape == (), (name, site["fn"].batch_shape)


def law_second_call(trial: Trial) -> None:
    """A second call in one model raises an error that says how to share or separate the sites."""

    def model(*inputs: Any) -> None:
        trial.layer(*inputs)
        trial.layer(*inputs)

    said = "nothing"
    try:
        seed(model, 0)(*trial.inputs)
    except ValueError as error:
        said = str(error)
    assert "tie" in said and "name" in said, f"a second call says {said}"  # noqa: PT018


def law_two_names(trial: Trial) -> None:
    """Two layers with different names work in one model, in either order."""

    def model(*inputs: Any) -> None:
        trial.renamed("one")(*inputs)
        trial.renamed("two")(*inputs)

    sites = _names(model, 0, trial.inputs)
    assert len(sites) == 2 * len(trial.sites), sites


def law_pytree(trial: Trial) -> None:
    """Flattening and unflattening leaves the layer unchanged, and a call does not modify it."""
    leaves, structure = jax.tree.flatten(trial.layer)
    again = jax.tree.unflatten(structure, leaves)
    expected = trial.output
    close(_run(again, trial.values, trial.inputs), expected, "rebuilt layer")
    assert jax.tree.structure(trial.layer) == structure, "the call changed the layer"
    close(jax.tree.leaves(trial.layer), leaves, "the call changed the layer's arrays")


def law_constants(trial: Trial) -> None:
    """The layer's own arrays get no gradient unless they are declared as parameters."""
    arrays, rest = eqx.partition(trial.layer, eqx.is_inexact_array)
    if not jax.tree.leaves(arrays):
        return

    def objective(arrays: PyTree) -> Array:
        layer = eqx.combine(arrays, rest)
        sites = trace(seed(substitute(layer, data=trial.values), 0))
        log_joint, _ = log_density(sites, trial.inputs, {}, {})
        return log_joint + _energy(_run(layer, trial.values, trial.inputs))

    for leaf in jax.tree.leaves(jax.grad(objective)(arrays)):
        assert (leaf == 0).all(), (
            "an array of the layer has a gradient: it would be trained"
        )


def law_jit(trial: Trial) -> None:
    """Compiled and eager outputs agree."""
    jitted = eqx.filter_jit(lambda layer, values, inputs: _run(layer, values, inputs))
    expected = trial.output
    close(jitted(trial.layer, trial.values, trial.inputs), expected, "jit against eager")


def law_vmap(trial: Trial) -> None:
    """Under `jax.vmap` over weights, each output is that of the layer at its weights."""
    stacked = {name: jnp.stack([v, 0.5 * v]) for name, v in trial.values.items()}
    both = jax.vmap(lambda values: _run(trial.layer, values, trial.inputs))(stacked)
    for lane in range(2):
        values = {name: v[lane] for name, v in stacked.items()}
        expected = _run(trial.layer, values, trial.inputs)
        close(jax.tree.map(lambda y, i=lane: y[i], both), expected, "vmap over weights")


def law_rows(trial: Trial) -> None:
    """Given the weights, each output row depends only on its input row."""
    together = trial.output
    for row in range(len(trial.inputs[0])):
        inputs = tuple(x[row] for x in trial.inputs)
        alone = _run(trial.layer, trial.values, inputs)
        close(jax.tree.map(lambda y, i=row: y[i], together), alone, f"row {row}")


def law_batch_axes(trial: Trial) -> None:
    """Inputs may have any number of batch axes: stacked inputs give stacked outputs."""
    inputs = tuple(jnp.stack([x, 2 * x, 0.5 * x]) for x in trial.inputs)
    stacked = _run(trial.layer, trial.values, inputs)
    for i in range(3):
        expected = _run(trial.layer, trial.values, tuple(x[i] for x in inputs))
        close(jax.tree.map(lambda y, i=i: y[i], stacked), expected, "stacked inputs")


def law_plate(trial: Trial) -> None:
    """Inside a plate, the layer acts as independent layers with stacked outputs."""
    _check_plates(trial, {"groups": 3}, trial.inputs)


def law_two_plates(trial: Trial) -> None:
    """Inside two plates, the outputs have both plate axes on the left."""
    _check_plates(trial, {"inner": 2, "outer": 3}, trial.inputs)


def law_plated_inputs(trial: Trial) -> None:
    """Inside a plate, inputs with the plate's axis are matched with their own weights."""
    inputs = tuple(jnp.stack([x, 2 * x, 0.5 * x]) for x in trial.inputs)
    _check_plates(trial, {"groups": 3}, inputs, plated=True)


def _check_plates(
    trial: Trial, sizes: dict[str, int], inputs: tuple[Any, ...], plated: bool = False
) -> None:
    """Compare the layer inside plates (innermost, the last axis, first) with separate calls."""

    def model(*inputs: Any) -> PyTree:
        plates = [numpyro.plate(n, s, dim=-i) for i, (n, s) in enumerate(sizes.items(), 1)]
        for plate in plates:
            plate.__enter__()
        out = trial.layer(*inputs)
        for plate in reversed(plates):
            plate.__exit__(None, None, None)
        return out

    values = _values(trace(seed(model, 0)).get_trace(*inputs))
    together = _run(model, values, inputs)
    shape = tuple(reversed(sizes.values()))
    for cell in np.ndindex(shape):
        slices = {name: v[cell] for name, v in values.items()}
        expected = _run(
            trial.layer, slices, tuple(x[cell] for x in inputs) if plated else inputs
        )
        found = jax.tree.map(lambda y, c=cell: y[c], together)
        close(found, expected, f"cell {cell} of plates {sizes}")


def law_gradients(trial: Trial) -> None:
    """Gradients with respect to sites and inputs are finite, also at zero inputs and rows."""

    def objective(values: dict[str, Array], inputs: tuple[Array, ...]) -> Array:
        return _energy(_run(trial.layer, values, inputs))

    floats = all(eqx.is_inexact_array(x) for x in trial.inputs)
    # Compiled if the inputs can be traced: one program for both.
    grad = jax.jit(jax.grad(objective, (0, 1))) if floats else jax.grad(objective)
    zeros = jax.tree.map(jnp.zeros_like, trial.inputs)
    for inputs in (trial.inputs, zeros):
        for leaf in jax.tree.leaves(grad(trial.values, inputs)):
            assert jnp.isfinite(leaf).all(), "a gradient is not finite"


def law_float64(trial: Trial) -> None:
    """With x64 enabled, sites and outputs are in double precision."""
    with jax.enable_x64(True):
        inputs = tuple(
            jnp.asarray(np.asarray(x), jnp.float64) if eqx.is_inexact_array(x) else x
            for x in trial.inputs
        )

        def run() -> PyTree:
            with trace() as sites:
                out = seed(trial.layer, 0)(*inputs)
            return _values(sites), jax.tree.leaves(out)

        sites, out = jax.eval_shape(run)
        for name, value in [*sites.items(), *enumerate(out)]:
            if jnp.issubdtype(value.dtype, jnp.inexact):
                assert value.dtype == jnp.float64, (name, value.dtype)


LAYER_LAWS: dict[str, Callable[[Trial], None]] = laws_in(globals())


def check_layer(
    layer: AbstractLayer, *inputs: Any, except_for: Mapping[str, str] | None = None
) -> LawReport:
    """Test a layer against every law of layers.

    Args:
        layer: The layer, with or without a name.
        inputs: The arguments of its call; the first axis of each is that of the rows.
        except_for: Laws that the layer does not satisfy: a reason for each by name.

    Returns:
        The report, which prints as a list of the laws.

    Raises:
        AssertionError: If a law is violated; the message is the report.
        ValueError: If `except_for` names a law that does not exist.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro_bayeslayers.layers import DenseReparameterization
        >>> report = check_layer(DenseReparameterization(3, 2, name="f"), jnp.ones((5, 3)))
        >>> report.broken
        {}
    """
    return run_laws(
        LAYER_LAWS, Trial(layer, tuple(inputs)), type(layer).__name__, except_for
    )
