"""A layer plus a frozen random copy of it."""

from typing import Any

import jax
from jax import lax, random
from jaxtyping import Array, PyTree
from numpyro.handlers import block, seed, trace
from numpyro.primitives import Messenger

from ... import _checks, primitives
from ..._base import AbstractLayer, call_child
from ..._settings import setting
from ..._typing import Message, PRNGKey
from ...handlers._above import above


class PriorFunction(AbstractLayer):
    r"""A layer plus a copy with weights fixed at a prior draw, created by `prior_function`.

    $$y = f_\theta(x) + \beta\, f_{\theta_0}(x), \qquad \theta_0 \sim p(\theta)
    \ \text{once}, \quad \theta \sim p(\theta)$$

    Far from the data, $f_\theta$ stays near its prior mode, so the output is dominated by the
    copy, which differs between members of an ensemble. See `prior_function`.

    Args:
        layer: The layer.
        scale: The factor $\beta$ of the copy, zero or positive.
        prior_key: None; or the data of a random key that draws the copy.
        name: Prefix of the sites; the default is ``"prior_function"``.

    Sites:
        The sites of the layer, prefixed with its name, or ``layer`` if it has none. Without a
        key, also a parameter ``prior.{site}`` of the copy for each site, without a gradient.

    Raises:
        TypeError: If `layer` is not a layer.
        ValueError: If `scale` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed, trace
        >>> from numpyro_bayeslayers.layers import DenseReparameterization
        >>> layer = prior_function(DenseReparameterization(3, 2, bias=False), name="f")
        >>> list(trace(seed(layer, 0)).get_trace(jnp.ones((5, 3))))
        ['f.layer.weight', 'f.prior.weight']

    References:
        Osband, Aslanides, Cassirer (2018), "Randomized prior functions for deep reinforcement
        learning", NeurIPS, algorithm 1.
    """

    layer: AbstractLayer
    scale: float = setting(check=_checks.non_negative, default=1.0)
    prior_key: Array | None = None
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        _checks.instance("layer", self.layer, AbstractLayer, "a layer")

    def _forward(self, *args: Any) -> PyTree:
        out = call_child("layer", self.layer, *args)
        if self.prior_key is None:
            copy = self._kept(*args)
        else:
            key = random.wrap_key_data(self.prior_key)
            # In a separate trace, the names of the copy cannot clash with others.
            with block(), trace(), seed(rng_seed=key):
                copy = self.layer._forward(*args)
        return jax.tree.map(lambda y, y_0: y + self.scale * y_0, out, copy)

    def _kept(self, *args: Any) -> PyTree:
        with primitives.scope(prefix="prior"), _Frozen():
            return self.layer._forward(*args)


def prior_function(
    layer: AbstractLayer,
    scale: float = 1.0,
    *,
    key: PRNGKey | None = None,
    name: str | None = None,
) -> PriorFunction:
    r"""Add a frozen random copy to a layer, or to a whole network that is a layer.

    $$y = f_\theta(x) + \beta\, f_{\theta_0}(x), \qquad \theta_0 \sim p(\theta) \ \text{once}$$

    In an ensemble each member has a separate copy, so members agree where there are data and
    differ like prior draws where there are none. The weights of the copies are parameters of
    the model without a gradient: they are stored with the others, also for predictions.

    Args:
        layer: Any layer of this library, for example a `lift`-ed network.
        scale: The factor $\beta$ of the copy, zero or positive.
        key: A random key for one fixed copy that is not a parameter: it is the same for all
            members and all runs. By default each run and each member draws a separate copy.
        name: Prefix of the sites.

    Raises:
        TypeError: If `layer` is not a layer.
        ValueError: If `scale` is negative; when run, if the layer itself opens a plate.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.layers import DenseReparameterization
        >>> layer = prior_function(DenseReparameterization(3, 2), 3.0, name="f")
        >>> seed(layer, 0)(jnp.ones((5, 3))).shape
        (5, 2)

    References:
        Osband, Aslanides, Cassirer (2018), "Randomized prior functions for deep reinforcement
        learning", NeurIPS, algorithm 1.

    Note:
        An optimizer with weight decay would shrink the copies: apply the decay to other
        parameters only (`optax.masked`), or better, use none, since the priors already
        regularize.
    """
    data = None if key is None else random.key_data(_checks.random_key("key", key))
    return PriorFunction(layer, scale, data, name)


class _Frozen(Messenger):
    """Turns sites into parameters without a gradient that start at a draw of their prior."""

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "linear":
            msg["value"] = msg["fn"](*msg["args"])
        if msg["type"] in ("linear", "opaque", "deterministic"):
            msg["stop"] = True
        elif msg["type"] == "sample" and msg["is_observed"]:
            msg["stop"] = True  # a divergence, which the layer itself counts
        elif msg["type"] == "sample" and msg["value"] is None:
            msg["value"] = self._drawn_once(msg["name"], msg)
            msg["stop"] = True
            msg[primitives.TIED] = True

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] == "param":
            msg["value"] = lax.stop_gradient(msg["value"])

    def _drawn_once(self, name: str, msg: Message) -> Array:
        fn: Any = msg["fn"]
        if msg["cond_indep_stack"]:
            raise ValueError(
                f"`prior_function` copies only layers that open no plates, and {name!r} is in "
                f"the plate {msg['cond_indep_stack'][-1].name!r}."
            )
        event = tuple(fn.shape())

        def start(key: PRNGKey, shape: tuple[int, ...]) -> Array:
            return fn.sample(key, shape[: len(shape) - len(event)])

        with above(self):
            return lax.stop_gradient(primitives.param(name, start, event).value)
