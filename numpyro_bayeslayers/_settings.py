"""Fields of modules that are settings: checked when the module is made, static, hashable."""

import inspect
from typing import TYPE_CHECKING, Any

import equinox as eqx

from ._checks import Check

if TYPE_CHECKING:
    # Type checkers know Equinox's own for a field; to them `check` is one more keyword.
    from equinox import field as setting
else:

    def setting(*, check: Check, static: bool = True, **kwargs: Any) -> Any:
        """A field whose value goes through a check of `_checks`; static, if not said otherwise.

        The check knows the field's name, and what it gives back is the field's value: a
        number of NumPy becomes Python's own, so that equal settings make equal modules.

        Args:
            check: A check: ``check=size``, ``check=optional(label)``.
            static: Whether the value is part of the structure of the module as a pytree.
            kwargs: Passed to `equinox.field`: ``default=``, for one.

        Example:
            >>> import numpy as np
            >>> from numpyro_bayeslayers._checks import positive
            >>> class Scaled(eqx.Module):
            ...     scale: float = setting(check=positive, default=1.0)
            >>> Scaled(np.float64(2.0))
            Scaled(scale=2.0)
            >>> Scaled(-1)
            Traceback (most recent call last):
            ValueError: `scale` must be positive and finite, got -1.
        """
        convert = _Converter(check)
        convert.field = eqx.field(converter=convert, static=static, **kwargs)
        return convert.field


class _Converter:
    """A check in the name of its field, which the class gives to the field."""

    field: Any

    def __init__(self, check: Check) -> None:
        self._check = check

    def __call__(self, value: Any) -> Any:
        return self._check(self.field.name, value)

    @property
    def __signature__(self) -> inspect.Signature:
        # Equinox shows users the annotation of a converter's argument. What is kept as a tuple
        # may come as any sequence.
        kept = self.field.type
        annotation = Any if "tuple[" in str(kept) else kept
        kind = inspect.Parameter.POSITIONAL_ONLY
        return inspect.Signature([inspect.Parameter("value", kind, annotation=annotation)])
