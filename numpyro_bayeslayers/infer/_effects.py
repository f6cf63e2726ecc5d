"""Partial effects of the layers of a regression."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float
from numpyro.handlers import seed, substitute, trace
from numpyro.primitives import Messenger

from .. import _checks
from .._threads import ALONE
from .._typing import Message, Model


def layer_effects(
    model: Model, draws: Mapping[str, Any], *args: Any, batch_ndims: int = 1, **kwargs: Any
) -> dict[str, Float[Array, "draws n u"]]:
    """Contribution of each regression layer to each row, for posterior draws.

    The layers are those that are called as ``layer("price", x)``; an effect is the result of
    this call. `numpyro_bayeslayers.plots.plot_effects` plots them. The rows may differ from
    those of the fit: for example, a grid of one column with the others fixed.

    Args:
        model: The NumPyro model.
        draws: Draws of its latent sites by name: ``mcmc.get_samples()``, or
            ``found.draws(all=True)`` of a `Fit`, with `batch_ndims` of 2.
        args: The arguments of the model. Categories are integers, numbered as in
            ``found.levels``. Observations may be omitted.
        batch_ndims: The number of axes of draws.
        kwargs: Further arguments of the model.

    Returns:
        For each layer's name, its values (draws, rows, units), with all axes of draws flattened
        into one.

    Raises:
        TypeError: If `draws` is not a mapping, or `batch_ndims` is not an integer.
        ValueError: If there are no draws, their numbers differ, draws of a latent site that an
            effect depends on are missing, two layers have the same name, or the model has no
            such layer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro_bayeslayers.layers import AdaptiveLayer, gaussian_link
        >>> def model(x, y=None):
        ...     gaussian_link(AdaptiveLayer(centered=True)("price", x), y)
        >>> draws = {"price.scale": jnp.ones((3, 1)), "price.beta": jnp.ones((3, 2, 1))}
        >>> layer_effects(model, draws, jnp.array([[1.0, 2.0]]))["price"].shape
        (3, 1, 1)
    """
    with ALONE:
        _checks.instance("draws", draws, Mapping, "a mapping from names of sites to draws")
        batch_ndims = _checks.size("batch_ndims", batch_ndims)
        values = {name: jnp.asarray(value) for name, value in draws.items()}
        shapes = {value.shape[:batch_ndims] for value in values.values()}
        if len(shapes) != 1 or 0 in (shape := shapes.pop()) or len(shape) != batch_ndims:
            raise ValueError(
                f"`draws` must have the same {batch_ndims} axes of draws at each site, got "
                f"{ {name: value.shape for name, value in values.items()} }."
            )
        flat = {name: v.reshape(-1, *v.shape[batch_ndims:]) for name, v in values.items()}
        args, kwargs = jax.tree.map(_as_array, (args, kwargs), is_leaf=_is_table)
        missing: set[str] = set()

        def one(values: dict[str, Array], key: Any) -> dict[str, Array]:
            noting = _noting(model)
            sites = trace(substitute(seed(noting, key), data=values)).get_trace(
                *args, **kwargs
            )
            latent = {
                n
                for n, s in sites.items()
                if s["type"] == "sample" and not s["is_observed"]
            }
            missing.update(latent - values.keys())
            return noting.found

        keys = random.split(random.key(0))
        first = {name: value[0] for name, value in flat.items()}
        # An effect that depends on the key depends on a site that is not among the draws.
        found = jax.jit(jax.vmap(one, (None, 0)))(first, keys)
        for name, value in found.items():
            if not bool(jnp.array_equal(value[0], value[1], equal_nan=True)):
                raise ValueError(
                    "`draws` must have all sites that effects depend on; "
                    f"{name!r} changes with one of {sorted(missing)}. Take "
                    "`found.draws(all=True)` of a fit."
                )
        if not found:
            raise ValueError(
                '`model` must call a regression layer, like `AdaptiveLayer()("price", x)`.'
            )
        return jax.jit(jax.vmap(one, (0, None)))(flat, keys[0])


class _noting(Messenger):  # noqa: N801
    """Records the effects of layers by name."""

    def __init__(self, fn: Model) -> None:
        self.found: dict[str, Array] = {}
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "effect":
            return
        name, value = msg["args"]
        if name in self.found:
            raise ValueError(
                f"Two layers of `model` have the name {name!r}. Give each its own name."
            )
        self.found[name] = value


def _is_table(value: Any) -> bool:
    return hasattr(value, "to_numpy")


def _as_array(value: Any) -> Any:
    return np.asarray(value) if _is_table(value) else value
