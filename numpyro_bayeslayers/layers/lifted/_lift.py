"""Lifting: from an Equinox module and a table to a layer."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree

from ... import _checks
from ._batch_ensemble import (
    with_member_biases,
    with_shared_frozen,
)
from ._lifted import Lifted, LiftedLinear
from ._products import (
    example_ndim,
    is_linear,
)
from ._state import State
from ._table import Entry, declare, is_array

_NO_STATE = (
    "`state` must be left out with `batch_ensemble`, whose members would share one. Use "
    "layers without a state (LayerNorm, GroupNorm), or `EnsembleSVI` for separate members."
)


def lift(
    module: PyTree,
    priors: Mapping[str, Entry],
    *,
    in_ndim: int | None = None,
    batch_ensemble: int | None = None,
    name: str | None = None,
    state: eqx.nn.State | None = None,
) -> Lifted:
    r"""Turn an Equinox module into a layer whose parameters are sites.

    Each floating-point array has a path, its attributes and indices joined by dots, such as
    ``layers.0.weight``. The first pattern that matches the path (`fnmatch`; ``*.weight``
    matches any weight) determines its treatment:

    - a distribution: the prior, expanded to the array's shape;
    - a function of the array's shape that returns one: ``lambda shape: dist.Normal(0,
      shape[-1] ** -0.5)``;
    - a constraint of NumPyro: an optimized `numpyro.param` with this constraint, initialized at
      the module's value (``constraints.positive`` for a lengthscale, ``constraints.real``);
    - `None`: it is fixed at its value.

    The values of parameters with a prior are dropped, so no copy of them is trained or stored.
    If a prior depends on values drawn before, call `lift` inside the model.

    Args:
        module: An Equinox module; it is not changed.
        priors: Entries by pattern, tried in order.
        in_ndim: Number of axes of one input example. The default is that of Equinox's own
            modules (2 for `MultiheadAttention` and `Conv1d`, 0 for `Embedding`), and 1
            otherwise.
        batch_ensemble: Number of members $E$, for a batch ensemble: its members share the
            weights of each `Linear`, `Conv` and `ConvTranspose`, scale their inputs and outputs
            by separate vectors, as in `DenseBatchEnsemble`, and have separate biases; all other
            parameters are shared. The first axis of inputs and outputs is that of the members:
            (e, \*batch, \*example), see `tile_members`.
        name: Prefix of the sites; ``lifted`` by default.
        state: The state of a stateful module, from `equinox.nn.make_with_state`. The module is
            then called without it, see `Lifted`.

    Returns:
        A `Lifted` layer; for an `equinox.nn.Linear` a `LiftedLinear`, which has a marginal.

    Raises:
        TypeError: If `module` is not an Equinox module, `state` is not an `equinox.nn.State`,
            or an entry has another type.
        ValueError: If a parameter has no entry, a pattern matches nothing or is never reached,
            a prior does not expand to its parameter's shape, an initial value violates its
            constraint, nothing is left to infer, the module has a state
            (`equinox.nn.BatchNorm`, or any `StateIndex`) but `state` is missing, or the
            reverse, or, with `batch_ensemble`, if the module has no suitable part or has a
            state.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp, numpyro.distributions as dist
        >>> from numpyro.handlers import seed, trace
        >>> mlp = eqx.nn.MLP(3, 1, 10, 1, key=jax.random.key(0))
        >>> table = {"*.weight": dist.Normal(0, 1), "*.bias": dist.Laplace(0, 1)}
        >>> net = lift(mlp, table, name="net")
        >>> sites = trace(seed(net, 0)).get_trace(jnp.ones((5, 3)))
        >>> sorted(sites)[:2]
        ['net.layers.0.bias', 'net.layers.0.weight']
        >>> seed(net, 0)(jnp.ones((5, 3))).shape
        (5, 1)

        As a batch ensemble:

        >>> members = lift(mlp, table, batch_ensemble=4, name="net")
        >>> seed(members, 0)(jnp.ones((4, 5, 3))).shape
        (4, 5, 1)

    References:
        Wen, Tran, Ba (2020), "BatchEnsemble: an alternative approach to efficient ensemble
        and lifelong learning", ICLR, section 3.1 (`batch_ensemble`).
    """
    _checks.instance("module", module, eqx.Module, "an Equinox module")
    batch_ensemble = _checks.optional(_checks.size)("batch_ensemble", batch_ensemble)
    if state is not None and batch_ensemble is not None:
        raise ValueError(_NO_STATE)
    kept = None if state is None else State.of(module, state)
    if batch_ensemble is None:
        declared = declare(module, priors, has_state=kept is not None)
    else:
        declared = declare(with_member_biases(module, batch_ensemble), priors)
        declared = with_shared_frozen(declared, module)
    if in_ndim is None:
        in_ndim = example_ndim(module)
    without = jax.tree.map(_placeholder, module)
    has_marginal = is_linear(module) and hasattr(module, "in_features")
    kind = LiftedLinear if has_marginal and batch_ensemble is None else Lifted
    return kind(without, *declared, kept, in_ndim, batch_ensemble, name)


def _placeholder(leaf: Any) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if is_array(leaf) else leaf
