"""A model as it would be with weights of low precision."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.primitives import Messenger


class quantize(Messenger):  # noqa: N801
    r"""Apply every linear map at weights rounded to a grid.

    $$y = x\, q(W) + b, \qquad q(w) = \delta\, \mathrm{round}(w / \delta)$$

    Gradients pass as if nothing had been rounded. The sites keep their drawn values, so
    priors, guides and samples do not notice.

    Args:
        fn: The model. Apply the handler to it, not around a compiled call.
        step: The grid's spacing $\delta$, in the units of the weights, positive.

    Raises:
        ValueError: If `step` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed, substitute
        >>> from bayeslayers_example import LaplaceLinear
        >>> weight = {"out.weight": jnp.array([[0.3], [1.4]])}
        >>> model = substitute(LaplaceLinear(2, 1, name="out"), data=weight)
        >>> quantize(model, step=1.0)(jnp.eye(2)).tolist()
        [[0.0], [1.0]]

    References:
        Bengio, Leonard, Courville (2013), "Estimating or propagating gradients through
        stochastic neurons", arXiv:1308.3432, section 4.
    """

    def __init__(self, fn: Callable[..., Any] | None = None, step: float = 1 / 16) -> None:
        if step <= 0:
            raise ValueError(f"`step` must be positive, got {step}.")
        self.step = step
        super().__init__(fn)

    def process_message(self, msg: dict[str, Any]) -> None:
        """Round the weight of a linear message; leave every other message alone."""
        if msg["type"] != "linear":
            return
        x, weight, bias = msg["args"]
        rounded = self.step * jnp.round(weight / self.step)
        msg["args"] = (x, weight + jax.lax.stop_gradient(rounded - weight), bias)
