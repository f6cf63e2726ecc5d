"""Settings by name, as scikit-learn asks for them."""

import inspect
from typing import Any

from .. import _checks


class Parameterized:
    """An object whose settings are the arguments of its constructor, kept as given.

    scikit-learn's `clone`, grid search and pipelines need no more than this; its own base
    class would have to be imported with the package.
    """

    @classmethod
    def _names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name.

        Args:
            deep: Of no effect: no setting is an estimator.
        """
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> "Parameterized":
        """Change settings; what was fitted stays until the next `fit`.

        Raises:
            ValueError: If there is no such setting.
        """
        for name, value in params.items():
            _checks.one_of("params", name, self._names())
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        given = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value is not defaults[name].default
        ]
        return f"{type(self).__name__}({', '.join(given)})"
