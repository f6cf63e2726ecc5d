"""Monte Carlo dropout for models without dropout layers."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import random
from numpyro.primitives import Messenger

from .. import _checks, primitives
from .._typing import Message

#: Requests a key that is the same for all blocks of rows of a draw.
ROW_KEY = "row_key"


class mc_dropout(Messenger):  # noqa: N801
    r"""Drop inputs of each linear operation at random, in training and in prediction.

    Every application $x W + b$ of the model becomes $(x \circ m) W + b$, where the entries of
    the mask $m$ are independently 0 with probability `rate` and $1/(1 - rate)$ otherwise. Index
    look-ups have no input to drop. A gradient estimator outside this handler sees the input
    after dropout.

    By default each row has a separate mask, as is usual in training. With ``shared=True`` all
    rows of a run share the mask, so that a draw is one function of its inputs: equal inputs
    have equal outputs, and draws at neighboring rows can be compared.

    Args:
        fn: The model.
        rate: Probability of dropping an entry, at least 0 and below 1.
        shared: Whether the masks are the same for all rows.

    Raises:
        ValueError: If `rate` is out of range, or if there is no random key.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed, substitute
        >>> from numpyro_bayeslayers.layers import DenseReparameterization
        >>> layer = DenseReparameterization(4, 1, bias=False, name="f")
        >>> ones = substitute(mc_dropout(layer, 0.5), {"f.weight": jnp.ones((4, 1))})
        >>> sorted({float(v) for v in seed(ones, 1)(jnp.ones((50, 4))).ravel()})
        [0.0, 2.0, 4.0, 6.0, 8.0]

    References:
        Gal and Ghahramani (2016), "Dropout as a Bayesian approximation", ICML, section 3.

    Note:
        Under NUTS the key is the same in every call, so the masks are frozen.
    """

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        rate: float = 0.5,
        shared: bool = False,
    ) -> None:
        self.rate = _checks.rate("rate", rate)
        self.shared = _checks.switch("shared", shared)
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "linear" or msg["value"] is not None or not msg["op"].is_dense:
            return
        x, *weights = msg["args"]
        shape = list(x.shape)
        of_call = lambda: primitives.prng_key("mc_dropout")
        if self.shared:
            row = x.ndim - msg["op"].rank_in
            shape[row : row + 1] = [1] * (row >= 0)
        key = primitives.message(ROW_KEY, of_call, ()) if self.shared else of_call()
        keep = random.bernoulli(key, 1.0 - self.rate, tuple(shape))
        msg["args"] = (jnp.where(keep, x / (1.0 - self.rate), 0.0), *weights)
