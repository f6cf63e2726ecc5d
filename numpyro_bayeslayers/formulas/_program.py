"""The NumPyro model of a formula, in terms of arrays and layers only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array

from ..layers import censored, truncated
from ..layers.regression._linear import AbstractFixedLayer
from ..primitives import effect, linear, sample_site, scope

#: The argument that gives the number of rows if no term does.
ROWS = "rows"
#: The argument with the offset that is added to a prediction.
OFFSET = "offset"


class CommonLayer(AbstractFixedLayer):
    """Linear terms with a fixed prior, on centered columns.

    A call returns the term's contribution to each row, and that of the column means.

    Args:
        coef_dist: The prior of the coefficients.
    """

    def __call__(
        self, name: str, x: Array, center: np.ndarray, units: int = 1
    ) -> tuple[Array, Array]:
        center = center.astype(x.dtype)
        with scope(prefix=name):
            beta = sample_site("beta", self.coef_prior.over((x.shape[-1], units)))
            out = linear(x - center, beta)
        effect(name, out)
        return out, jnp.einsum("d,...du->...u", center, beta.value)


class Common(NamedTuple):
    """A population-level term: its name, layer and column means."""

    name: str
    layer: Callable[..., Any]
    center: np.ndarray | None


class Varying(NamedTuple):
    """Effects that vary between groups: their name, layer, columns and groups."""

    name: str
    layer: Callable[..., Any]
    columns: str | None
    group: str
    num_groups: int


class Special(NamedTuple):
    """A term that is a layer: its name, function and arguments."""

    name: str
    forward: Callable[..., Any]
    arguments: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Predictor:
    """The prediction for each row, a sum of layers. It is called with arrays by name.

    Args:
        intercept: The layer of the intercept at the average row; None if there is none.
        common: Population-level terms.
        varying: Group effects.
        special: Terms that are layers.
        units: Number of predictions per row.
        prefix: The prefix of names, such as ``"sigma."`` for a parameter.
    """

    intercept: Callable[..., Any] | None
    common: tuple[Common, ...]
    varying: tuple[Varying, ...]
    special: tuple[Special, ...]
    units: int
    prefix: str = ""

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the terms, the intercept first."""
        first = () if self.intercept is None else (f"{self.prefix}Intercept",)
        return (*first, *(p.name for p in (*self.common, *self.varying, *self.special)))

    def __call__(self, data: dict[str, Any]) -> Array:
        """The predictions, (n, units)."""
        parts: list[Any] = []
        start = None
        if self.intercept is not None:
            name = f"{self.prefix}Intercept_centered"
            start = self.intercept(name, units=self.units)
            parts.append(start)
        shift: Any = 0.0
        for term in self.common:
            x = data[term.name]
            if term.center is None:
                parts.append(term.layer(term.name, x, units=self.units))
                continue
            out, own = term.layer(term.name, x, term.center, units=self.units)
            parts.append(out)
            shift = shift + own
        for term in self.varying:
            group = data[term.group]
            if term.columns is None and self.units == 1:
                parts.append(term.layer(term.name, group, term.num_groups))
            else:
                is_level = term.columns is None
                x = jnp.ones(jnp.shape(group)) if is_level else data[term.columns]
                parts.append(term.layer(term.name, x, group, term.num_groups, self.units))
        parts += [term.forward(*(data[a] for a in term.arguments)) for term in self.special]
        if start is not None:
            zero = start[..., 0, :] - shift
            own = zero[..., 0] if self.units == 1 else zero
            numpyro.deterministic(f"{self.prefix}Intercept", own)
        if f"{self.prefix}{ROWS}" in data:
            parts.append(jnp.zeros_like(data[f"{self.prefix}{ROWS}"], float)[..., None])
        if self.prefix and f"{self.prefix}{OFFSET}" in data:
            parts.append(data[f"{self.prefix}{OFFSET}"][..., None])
        return sum(parts[1:], parts[0])


class Predicted(NamedTuple):
    """A parameter of the likelihood that is predicted for each row.

    Args:
        predictor: Its predictor.
        inverse: The function from the prediction to the parameter.
    """

    predictor: Predictor
    inverse: Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Program:
    """The NumPyro model. It is called with arrays by term name.

    Args:
        main: The predictor of the likelihood's location.
        predicted: Further predicted parameters, by the link's argument names.
        name: The name of the observed site.
        link: The likelihood.
        own: Arguments for the link's own parameters.
        bounds: ``"censored"``, ``"truncated"``, or None.
        is_against_first: Whether the first class is the reference, with prediction zero.
    """

    main: Predictor
    predicted: dict[str, Predicted]
    name: str
    link: Callable[..., Any]
    own: dict[str, Any]
    bounds: str | None
    is_against_first: bool

    def __call__(
        self,
        data: dict[str, Any],
        y: Any = None,
        *,
        trials: Any = None,
        weights: Any = None,
        lower: Any = None,
        upper: Any = None,
        low: Any = None,
        high: Any = None,
        offset: Any = None,
    ) -> Any:
        """Draw or observe the outcome of each row; see `FormulaModel`."""
        link = self.link
        if self.bounds == "censored" and y is not None:
            link = censored(link, lower, upper)
        elif self.bounds == "truncated":
            link = truncated(link, low, high)
        given = {"trials": trials, "weights": weights, OFFSET: offset}
        more = {key: value for key, value in given.items() if value is not None}
        prediction = self.main(data)
        if self.is_against_first:
            first = jnp.zeros_like(prediction[..., :1])
            prediction = jnp.concatenate([first, prediction], -1)
        for argument, (predictor, inverse) in self.predicted.items():
            more[argument] = inverse(predictor(data))
        return link(prediction, y, name=self.name, **more, **self.own)
