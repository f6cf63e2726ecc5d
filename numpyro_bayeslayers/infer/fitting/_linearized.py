"""Linearization of a model around a mode."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
from jax import random
from jaxtyping import Array
from numpyro.handlers import block, seed, substitute, trace
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ._observed_law import ObservedLaw, rewrapped

_OTHER_ROWS = (
    "The site {name!r} has a value for each row, of shape {shape} in the fit and {given} here: "
    'the linearized predictions have none for new rows. Take Laplace(predictive="sampled").'
)


def linearized(
    model: Model,
    loc_name: str,
    unpack: Callable[[Array], dict[str, Array]],
    transform_of: Callable[[str], Any],
    size: int,
    observed: tuple[str, ...],
) -> Model:
    r"""The model with distributions at `observed` of parameters $\eta(\hat u) + J (u - \hat u)$.

    Here $u$ are the latent sites and $\eta$ the parameters of the distribution, both
    unconstrained.

    Args:
        model: The model, on all rows.
        loc_name: The name of the parameter that holds the flat vector $\hat u$.
        unpack: The map from the flat vector to values by site.
        transform_of: The map from an unconstrained site to the site.
        size: The length of the flat vector.
        observed: The names of the sites.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        loc: Any = numpyro.param(loc_name, jnp.zeros(size))
        with _linear(model, args, kwargs, unpack(loc), transform_of, observed):
            return model(*args, **kwargs)

    return run


class _linear(Messenger):  # noqa: N801
    """Replaces distributions of observations, whose dependencies are drawn before them."""

    def __init__(
        self,
        model: Model,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        mode: dict[str, Array],
        transform_of: Callable[[str], Any],
        observed: tuple[str, ...],
    ) -> None:
        self.model, self.given = model, (args, kwargs)
        self.mode, self.transform_of, self.observed = mode, transform_of, observed
        self.away: dict[str, Array] = {}
        self.others: dict[str, Any] = {}
        super().__init__()

    def postprocess_message(self, msg: Message) -> None:
        name: Any = msg.get("name")
        value = msg["value"]
        if msg["type"] == "sample" and name in self.mode:
            free = self.transform_of(name).inv(value)
            here = self.mode[name]
            if free.shape != here.shape:
                raise ValueError(
                    _OTHER_ROWS.format(name=name, shape=here.shape, given=free.shape)
                )
            self.away[name] = free - here
        elif msg["type"] in ("param", "mutable"):
            # Later changes of the model's state do not affect the start.
            self.others[name] = jax.tree.map(lambda x: x, value)

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "sample" or msg["name"] not in self.observed:
            return
        args, kwargs = self.given
        found: dict[str, ObservedLaw] = {}

        def params(free: dict[str, Array]) -> dict[str, Array]:
            values = {n: self.transform_of(n)(x) for n, x in free.items()}
            there = substitute(seed(self.model, random.key(0)), data=self.others | values)
            with block():
                site = trace(there).get_trace(*args, **kwargs)[msg["name"]]
            found["law"] = ObservedLaw.of(site)
            return found["law"].free()

        still = {n: jnp.zeros_like(x) for n, x in self.mode.items()}
        at_mode, tangent = jax.jvp(params, (self.mode,), (still | self.away,))
        law = found["law"]._replace(params={})  # arrays of the trace must not leave it
        moved = {n: x + tangent[n] for n, x in at_mode.items()}
        msg["fn"] = rewrapped(msg["fn"], law.at(moved))
