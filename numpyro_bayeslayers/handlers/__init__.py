"""Effect handlers, which change from outside how a model is estimated or replicated.

Each file has one handler. A handler is a `numpyro.primitives.Messenger`: it receives each
message and edits those that it handles. Apply it to the model (``flipout(model)``) rather than
around a jitted call: the caches of `jax.jit` do not know the handler stack.

A new handler needs its file, one export line here, one entry point in `pyproject.toml`, and
tests in `tests/handlers`.
"""

from ._anchored import anchored as anchored
from ._ensemble import ensemble as ensemble
from ._flipout import flipout as flipout
from ._local_reparameterization import local_reparameterization as local_reparameterization
from ._mc_dropout import mc_dropout as mc_dropout
from ._mixed_precision import mixed_precision as mixed_precision
from ._recenter import recenter as recenter
from ._temper import temper as temper
from ._tie import tie as tie

__all__ = [
    "anchored",
    "ensemble",
    "flipout",
    "local_reparameterization",
    "mc_dropout",
    "mixed_precision",
    "recenter",
    "temper",
    "tie",
]
