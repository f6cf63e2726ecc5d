"""Effect handlers: they change how a model is estimated or replicated, from outside.

One file, one handler. A handler is a `numpyro.primitives.Messenger`: it looks at each
message and edits those it knows. Apply it to the model (``flipout(model)``) rather than
around a jitted call: the caches of `jax.jit` do not know the handler stack.
"""

__all__: list[str] = []
