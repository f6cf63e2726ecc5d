"""A handler: one guard, one edit of the message.

The comments are for you: delete them from your copy.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from numpyro.primitives import Messenger

from numpyro_bayeslayers import _checks
from numpyro_bayeslayers._typing import Message


# A lower-case name, as NumPyro's own handlers have.
class winsorize(Messenger):  # noqa: N801
    r"""Pull outlying inputs of each linear operation in to a bound.

    Every application $x W + b$ of the model becomes $\min(\max(x, -c), c)\, W + b$. Index
    look-ups have no input to pull in. A gradient estimator outside of this handler sees the
    inputs that were pulled in.

    Args:
        fn: The model. Apply the handler to it, not around a compiled call.
        bound: The largest absolute value $c$ of an input, positive, in the input's units.

    Raises:
        ValueError: If `bound` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.layers import DenseReparameterization
        >>> model = winsorize(DenseReparameterization(1, 1, name="f"), bound=2.0)
        >>> near, far = seed(model, 0)(jnp.array([[2.0], [1e6]]))
        >>> bool(near == far)
        True

    References:
        Tukey (1962), "The future of data analysis", Annals of Mathematical Statistics 33,
        section 14.
    """

    # `fn` comes first and may be left out: `with winsorize(bound=2.0):`.
    def __init__(self, fn: Callable[..., Any] | None = None, bound: float = 3.0) -> None:
        _checks.positive("bound", bound)
        self.bound = bound
        super().__init__(fn)

    # State that a run needs is made anew in `__enter__` and dropped in `__exit__`; this
    # handler has none.
    def process_message(self, msg: Message) -> None:
        # Look at the type first; leave alone what a handler further inside has answered, and
        # operations whose input is no number.
        if msg["type"] != "linear" or msg["value"] is not None or not msg["op"].is_dense:
            return
        x, *weights = msg["args"]
        msg["args"] = (jnp.clip(x, -self.bound, self.bound), *weights)
