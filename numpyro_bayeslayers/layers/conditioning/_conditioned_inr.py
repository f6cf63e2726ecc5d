"""Networks of coordinates that depend on a context."""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._base import AbstractLayer, call_child
from ..._settings import setting
from ..._typing import PRNGKey
from ...handlers._tie import Remember
from ...primitives import scope
from ._conditioner import AbstractConditioner, as_rows


class ConditionedINR(AbstractLayer):
    """A network of coordinates, with its features conditioned on a context.

    In mode ``"feature"``, a conditioner follows every layer of ``inner.layers`` except the last
    (after its activation). In mode ``"input"``, the context is concatenated to the coordinates,
    and `inner` has D + K inputs.

    Args:
        inner: The network: `SIREN`, `BayesianSIREN`, `BayesianNeuralField`,
            `equinox.nn.MLP`, or a module whose `layers` map rows to rows and are applied in order.
        conditioners: One for each layer except the last; `init` creates them.
        cond_dim: Size of the context $K$.
        mode: ``"feature"`` or ``"input"``.
        name: Prefix of the sites; the default is ``"conditioned_inr"``.

    Sites:
        The sites of `inner`, prefixed with its name, or ``inner`` if it has none, and those of
        the conditioners, prefixed with ``cond_0``, ``cond_1``, ...

    Raises:
        ValueError: If the mode is unknown, if there is not one conditioner for each layer
            before the last, or if the shapes of coordinates and contexts do not match.
        TypeError: If `inner` does not have at least two layers.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from numpyro_bayeslayers.layers import SIREN, FiLM
        >>> key = jax.random.key(0)
        >>> inner = SIREN.init(2, 16, 1, depth=3, key=key)
        >>> net = ConditionedINR.init(inner, conditioner_cls=FiLM, cond_dim=4, key=key)
        >>> net(jnp.ones((5, 2)), jnp.ones(4)).shape
        (5, 1)

    References:
        Chan, Monteiro, Kellnhofer, Wu, Wetzstein (2021), "pi-GAN: periodic implicit
        generative adversarial networks", CVPR, section 3.1; Pan, Brunton, Kutz (2023),
        "Neural implicit flow", JMLR 24, section 3.
    """

    inner: Any
    conditioners: tuple[AbstractConditioner, ...]
    cond_dim: int = setting(check=_checks.size)
    mode: Literal["feature", "input"] = setting(
        check=_checks.choice("feature", "input"), default="feature"
    )
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        needed = len(_layers(self.inner)) - 1 if self.mode == "feature" else 0
        if len(self.conditioners) != needed:
            raise ValueError(
                f"`conditioners` must be {needed}, one for each layer of `inner` except the "
                f"last in mode 'feature' and none in mode 'input', got {len(self.conditioners)}."
            )

    @classmethod
    def init(
        cls,
        inner: Any,
        *,
        conditioner_cls: type[AbstractConditioner],
        cond_dim: int,
        key: PRNGKey,
        mode: Literal["feature", "input"] = "feature",
        name: str | None = None,
        **conditioner_kwargs: Any,
    ) -> "ConditionedINR":
        """Create the conditioners, each with a separate key.

        Args:
            inner: The network.
            conditioner_cls: Class of the conditioners, for example `FiLM`.
            cond_dim: Size of the context $K$.
            key: Random key of the conditioners.
            mode: ``"feature"`` or ``"input"``.
            name: Prefix of the sites.
            conditioner_kwargs: Passed to the conditioners' `init`.
        """
        _checks.one_of("mode", mode, ("feature", "input"))
        if mode == "input":
            if conditioner_kwargs:
                raise TypeError(
                    "`conditioner_kwargs` must be empty in mode 'input', where there are no "
                    f"conditioners, got {sorted(conditioner_kwargs)}."
                )
            return cls(inner, (), cond_dim, mode, name)
        sizes = [layer.out_features for layer in _layers(inner)[:-1]]
        keys = random.split(key, len(sizes))
        conditioners = [
            conditioner_cls.of_features(size, cond_dim, k, **conditioner_kwargs)
            for size, k in zip(sizes, keys, strict=True)
        ]
        return cls(inner, tuple(conditioners), cond_dim, mode, name)

    def _forward(
        self, x: Num[ArrayLike, "*batch d_in"], z: Num[ArrayLike, "*batch_z k"]
    ) -> Float[Array, "*rest"]:
        x, z = as_rows("x", x), as_rows("z", z)
        _checks.last_axis("z", z, "cond_dim", self.cond_dim)
        if self.mode == "input":
            return self._beside(x, z)
        steps = _steps(self.inner)
        inner = scope(prefix=getattr(self.inner, "name", None) or "inner")
        # Sites that the layers share are drawn once.
        shared = Remember()
        h = x
        for i, step in enumerate(steps):
            with inner, shared:
                h = step(h)
            if i < len(steps) - 1:
                h = call_child(f"cond_{i}", self.conditioners[i], h, z)
        return h

    def _beside(self, x: Array, z: Array) -> Array:
        rows = jnp.broadcast_shapes(x.shape[:-1], z.shape[:-1])
        both = [jnp.broadcast_to(a, rows + a.shape[-1:]) for a in (x, z)]
        joined = jnp.concatenate(both, -1)
        if isinstance(self.inner, eqx.nn.MLP) and joined.ndim > 1:
            return jax.vmap(self.inner)(joined)
        return call_child("inner", self.inner, joined)


def _layers(inner: Any) -> tuple[Any, ...]:
    layers = tuple(getattr(inner, "layers", ()))
    if len(layers) < 2 or getattr(inner, "scan", False):
        raise TypeError(
            f"`inner` must have two or more `layers`, applied in order, got {inner!r}. An "
            "`equinox.nn.MLP` must not be one with `scan=True`."
        )
    return layers


def _steps(inner: Any) -> list[Callable[[Array], Array]]:
    """The network's layers, with their activations, as functions of rows."""
    layers = _layers(inner)
    if isinstance(inner, eqx.nn.MLP):
        return [_mlp_step(inner, i) for i in range(len(layers))]
    return list(layers)


def _mlp_step(mlp: eqx.nn.MLP, index: int) -> Callable[[Array], Array]:
    """One layer of an Equinox network: linear map, then activation."""
    layer, last = mlp.layers[index], index == len(mlp.layers) - 1
    if last:
        activation: Any = mlp.final_activation
    else:
        activation = jax.tree.map(
            lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, mlp.activation
        )

    def one(row: Array) -> Array:
        return eqx.filter_vmap(lambda f, unit: f(unit))(activation, layer(row))

    return lambda h: one(h) if h.ndim == 1 else jax.vmap(one)(h)
