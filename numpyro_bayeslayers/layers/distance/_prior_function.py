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
    r"""A layer plus a copy of it whose weights are one draw of their prior: by `prior_function`.

    $$y = f_\theta(x) + \beta\, f_{\theta_0}(x), \qquad \theta_0 \sim p(\theta)
    \ \text{once}, \quad \theta \sim p(\theta)$$

    Far from the data $f_\theta$ stays near its prior's mode, and what is left is the copy: a
    function that differs between members of an ensemble. See `prior_function`.

    Args:
        layer: The layer.
        scale: The factor $\beta$ of the copy, zero or positive.
        prior_key: None; or the data of a random key that draws the copy.
        name: Prefix of the sites; the default is ``"prior_function"``.

    Sites:
        Those of the layer, below its own name or else ``layer``. Without a key, parameters
        ``prior.{site}`` for each, the copy's, which get no gradient.

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
            # In a trace of its own the copy's names clash with no other's.
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
    r"""Add a frozen random copy to a layer, or to a whole network that is one.

    $$y = f_\theta(x) + \beta\, f_{\theta_0}(x), \qquad \theta_0 \sim p(\theta) \ \text{once}$$

    In an ensemble each member has a copy of its own, so members agree where there are data and
    differ where there are none, by what the prior says. The copies' weights are parameters of
    the model that get no gradient: they are kept with the others, for predictions too.

    Args:
        layer: The layer: any of this library, a `lift`-ed network for one.
        scale: The factor $\beta$ of the copy, zero or positive.
        key: A random key, for one fixed copy that is no parameter: the same for all members, in
            all runs. By default each run, and each member, draws its own.
        name: Prefix of the sites.

    Raises:
        TypeError: If `layer` is not a layer.
        ValueError: If `scale` is negative; in the run, if the layer opens a plate of its own.

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
        An optimizer with weight decay would shrink the copies: decay the others only
        (`optax.masked`), or better none, since priors do that.
    """
    data = None if key is None else random.key_data(_checks.random_key("key", key))
    return PriorFunction(layer, scale, data, name)


class _Frozen(Messenger):
    """Makes sites parameters that start at a draw of their prior and get no gradient."""

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
                f"`prior_function` copies layers without plates of their own, and {name!r} is in "
                f"the plate {msg['cond_indep_stack'][-1].name!r}."
            )
        event = tuple(fn.shape())

        def start(key: PRNGKey, shape: tuple[int, ...]) -> Array:
            return fn.sample(key, shape[: len(shape) - len(event)])

        with above(self):
            return lax.stop_gradient(primitives.param(name, start, event).value)
