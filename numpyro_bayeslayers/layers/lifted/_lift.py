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
    "`state` must be left out with `batch_ensemble`, whose members would share one. Take "
    "layers without a state (LayerNorm, GroupNorm), or `EnsembleSVI` for members on their own."
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
    r"""Declare the parameters of an Equinox module: a layer whose sites they are.

    Each array of floating point numbers has a path, its attributes and indices with dots
    between them, such as ``layers.0.weight``. The first pattern that matches the path
    (`fnmatch`; ``*.weight`` is any weight) says what becomes of it:

    - a distribution: the prior, expanded to the array's shape;
    - a function of the array's shape that returns one: ``lambda shape: dist.Normal(0,
      shape[-1] ** -0.5)``;
    - a constraint of NumPyro: an optimized `numpyro.param` under it, which starts from the
      module's value (``constraints.positive`` for a lengthscale, ``constraints.real``);
    - `None`: it stays as it is.

    The values of parameters with a prior are dropped, so no copy of them is trained or kept.
    A prior may depend on values drawn before: lift inside the model then.

    Args:
        module: An Equinox module; it is not changed.
        priors: Entry by pattern, tried in this order.
        in_ndim: Axes of one example of the input. By default what the module expects if it
            is one of Equinox's (2 for `MultiheadAttention` and `Conv1d`, 0 for `Embedding`),
            else 1.
        batch_ensemble: Number of members $E$, for a batch ensemble: its members share the
            weights of each `Linear`, `Conv` and `ConvTranspose`, scale inputs and outputs of
            these by vectors of their own, as in `DenseBatchEnsemble`, and have biases of
            their own; all other parameters are common. Inputs and outputs lead with the
            members: (e, \*batch, \*example), see `tile_members`.
        name: Prefix of the sites; ``lifted`` by default.
        state: The state of a module that has one, of `equinox.nn.make_with_state`. The module
            is then called without it, see `Lifted`.

    Returns:
        A `Lifted` layer; of an `equinox.nn.Linear` a `LiftedLinear`, which has a marginal.

    Raises:
        TypeError: If `module` is no Equinox module, `state` no `equinox.nn.State`, or an entry
            is of another kind.
        ValueError: If a parameter has no entry (it is named), a pattern matches nothing or is
            never reached, a prior does not expand to its parameter's shape, a start value
            does not satisfy its constraint, nothing is left to infer, the module has a state
            (`equinox.nn.BatchNorm`, or any `StateIndex`) and none is given, or the reverse, or
            it has no part that could become a batch ensemble, or a state in one.

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

        A batch ensemble of it:

        >>> members = lift(mlp, table, batch_ensemble=4, name="net")
        >>> seed(members, 0)(jnp.ones((4, 5, 3))).shape
        (4, 5, 1)

    References:
        Wen, Tran and Ba (2020), "BatchEnsemble: an alternative approach to efficient ensemble
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
