"""The prior of single coefficients, checked when a layer is constructed."""

import difflib
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import jax
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import constraints

# A class, completed by keywords, or a distribution instance.
Family: TypeAlias = type[dist.Distribution] | dist.Distribution
Keywords: TypeAlias = Mapping[str, Any]

# The defaults of all layers; immutable.
ZERO_LOC: Keywords = MappingProxyType({"loc": 0.0})
UNIT_SCALE: Keywords = MappingProxyType({"scale": 1.0})
STANDARD: Keywords = MappingProxyType({"loc": 0.0, "scale": 1.0})


class Prior:
    """A univariate family with its settings, compared and hashed by value.

    Args:
        role: ``"coef"`` or ``"scale"``: the prefix of the arguments' names.
        given: The class or the distribution instance.
        keywords: The class's keywords.
        default: Default of the keywords; no others may be given with an instance.
        is_scaled: Whether the layer draws the family's `scale`. The scale of an instance is
            then multiplied by the drawn one.
    """

    def __init__(
        self,
        role: str,
        given: Family,
        keywords: Keywords,
        default: Keywords,
        is_scaled: bool,
    ) -> None:
        self.is_scaled = is_scaled
        self.settings: dict[str, Any] = {}
        self.factor: Any = 1.0  # of the drawn scale
        self.ready: dist.Distribution | None = None
        if isinstance(given, dist.Distribution):
            self.family = type(given)
            _no_keywords(role, given, keywords, default)
            if is_scaled:
                _takes_scale(role, self.family)
                names = _parameters(self.family)
                self.settings = {name: getattr(given, name) for name in names}
                self.factor = self.settings.pop("scale")
            else:
                self.ready = given
        else:
            self.family = _checked_class(role, given)
            if is_scaled:
                _takes_scale(role, self.family)
            self.settings = _checked_keywords(role, self.family, keywords, is_scaled)
        self._try(role)

    def _try(self, role: str) -> None:
        name = self.family.__name__
        more = {"scale": 1.0} if self.is_scaled else {}
        try:
            trial = self.ready or self.family(**self.settings, **more, validate_args=True)
        except ValueError as error:
            raise ValueError(
                f"`{role}_kwargs` do not make a {name} distribution: {error}"
            ) from error
        support: Any = trial.support
        if trial.event_shape or support.is_discrete:
            raise ValueError(
                f"`{role}_dist` must be a continuous distribution of single numbers, which "
                f"the layer repeats; got {name} of event shape {trial.event_shape}."
            )
        if role.endswith("scale") and _allows_negative(support):
            raise ValueError(
                f"`{role}_dist` must be a distribution of positive numbers, got {name}. Use "
                "HalfNormal, Exponential or another of positive support."
            )

    @property
    def is_location_scale(self) -> bool:
        """Whether loc + scale * (a standard draw) has this distribution: it can be non-centered."""
        names = _parameters(self.family)
        is_real = self.family.support is constraints.real
        return is_real and "loc" in names and "scale" in names

    @property
    def loc(self) -> Any:
        """The location of a location-scale family."""
        default = _parameters(self.family)["loc"].default
        return self.settings.get("loc", default)

    def over(self, shape: tuple[int, ...], **more: Any) -> dist.Distribution:
        """Independent entries of event shape `shape`; plates of settings stay on the left."""
        fn = self.ready if self.ready is not None else self.family(**self.settings | more)
        return spread(fn, shape)

    def _key(self) -> tuple[Any, ...]:
        leaves, structure = jax.tree.flatten(self.ready)
        tokens = tuple((name, _token(v)) for name, v in sorted(self.settings.items()))
        kind = self.family, self.is_scaled, _token(self.factor)
        return kind, tokens, tuple(map(_token, leaves)), structure

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prior) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key()[:-1])

    def __repr__(self) -> str:
        if self.ready is not None:
            return repr(self.ready)
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.family.__name__}({settings})"


def spread(fn: dist.Distribution, shape: tuple[int, ...]) -> dist.Distribution:
    """Independent entries of event shape `shape`; plates of settings stay on the left."""
    plates = check_spreads(fn.batch_shape, shape)
    return fn.expand(plates + shape).to_event(len(shape))


def check_spreads(settings: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The plates on the left of settings for coefficients of event shape `shape`.

    Raises:
        ValueError: If settings of this shape do not broadcast to the coefficients.
    """
    own = settings[max(len(settings) - len(shape), 0) :]
    if any(a not in (1, b) for a, b in zip(reversed(own), reversed(shape), strict=False)):
        raise ValueError(
            f"The prior's settings have shape {settings}, which does not broadcast to that of "
            f"the coefficients, {shape}."
        )
    return settings[: len(settings) - len(own)]


def within_unit(prior: Prior, name: str) -> Prior:
    """Check that the support of `prior` is within 0 to 1."""
    support: Any = prior.over(()).support
    low, high = (getattr(support, f"{end}_bound", None) for end in ("lower", "upper"))
    if low is None or high is None or low < 0 or high > 1:
        raise ValueError(
            f"`{name}` must be a distribution of numbers from 0 to 1 such as Beta, got {prior}."
        )
    return prior


def _token(value: Any) -> Any:
    """A hashable key that equal values share."""
    if isinstance(value, jax.core.Tracer):
        return id(value)
    if isinstance(value, (jax.Array, np.ndarray)):
        array = np.asarray(value)
        return array.shape, array.dtype.str, array.tobytes()
    return value


def _parameters(family: type[dist.Distribution]) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(family).parameters)
    found.pop("validate_args", None)
    return found


def _checked_class(role: str, given: Any) -> type[dist.Distribution]:
    if not (inspect.isclass(given) and issubclass(given, dist.Distribution)):
        raise TypeError(
            f"`{role}_dist` must be a distribution of numpyro, its class or an instance, "
            f"got {given!r} ({type(given).__name__})."
        )
    return given


def _no_keywords(
    role: str, given: dist.Distribution, keywords: Keywords, default: Keywords
) -> None:
    if keywords is not default and dict(keywords):
        raise ValueError(
            f"`{role}_kwargs` must not be given with a ready distribution for "
            f"`{role}_dist`, got {dict(keywords)} and {type(given).__name__}. Give the class, "
            "or leave the keywords out."
        )


def _takes_scale(role: str, family: type[dist.Distribution]) -> None:
    names = _parameters(family)
    if "scale" not in names:
        raise ValueError(
            f"`{role}_dist` must have a `scale`, which the layer draws, got "
            f"{family.__name__} with {_listed(names)}. Use a family with a scale, or "
            "FixedPriorLayer."
        )


def _checked_keywords(
    role: str, family: type[dist.Distribution], keywords: Keywords, is_scaled: bool
) -> dict[str, Any]:
    name, parameters = family.__name__, _parameters(family)
    for keyword in keywords:
        if is_scaled and keyword == "scale":
            raise ValueError(
                f"`{role}_kwargs` must not have `scale`: the layer draws it from `scale_dist`. "
                "To stretch it, give `scale_kwargs`."
            )
        if keyword not in parameters:
            close = difflib.get_close_matches(str(keyword), parameters, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"`{role}_kwargs` has {keyword!r}, but {name} takes {_listed(parameters)}.{hint}"
            )
    drawn = {"scale"} if is_scaled else set()
    missing = [
        p
        for p, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and p not in {*keywords, *drawn}
    ]
    if missing:
        raise ValueError(
            f"`{role}_kwargs` must have {_listed(missing)}, which {name} requires; "
            f"got {dict(keywords)}."
        )
    return dict(keywords)


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names) or "no keywords"


def _allows_negative(support: Any) -> bool:
    try:
        with jax.ensure_compile_time_eval():
            return any(np.all(support(np.float32(v))) for v in (-1.0, -1e-6))
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        return False  # bounds that are drawn in the model are not known yet
