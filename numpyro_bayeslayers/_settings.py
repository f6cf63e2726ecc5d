"""Settings: checked, static and hashable fields of modules."""

import inspect
from typing import TYPE_CHECKING, Any

import equinox as eqx

from ._checks import Check

if TYPE_CHECKING:
    # Type checkers recognize Equinox's `field`; `check` is an extra keyword to them.
    from equinox import field as setting
else:

    def setting(*, check: Check, static: bool = True, **kwargs: Any) -> Any:
        """A field whose value is checked by a function of `_checks`; static by default.

        The check receives the field's name, and its result is the field's value: NumPy scalars
        become Python numbers, so that modules with equal settings are equal.

        Args:
            check: A check: ``check=size``, ``check=optional(label)``.
            static: Whether the value is part of the structure of the module as a pytree.
            kwargs: Passed to `equinox.field`, for example ``default=``.

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
    """A check bound to the name of its field, which is set when the class is created."""

    field: Any

    def __init__(self, check: Check) -> None:
        self._check = check

    def __call__(self, value: Any) -> Any:
        return self._check(self.field.name, value)

    @property
    def __signature__(self) -> inspect.Signature:
        # Equinox shows users the annotation of a converter's argument. Fields stored as tuples
        # accept any sequence.
        kept = self.field.type
        annotation = Any if "tuple[" in str(kept) else kept
        kind = inspect.Parameter.POSITIONAL_ONLY
        return inspect.Signature([inspect.Parameter("value", kind, annotation=annotation)])
