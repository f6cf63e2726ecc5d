"""The NumPyro model of a formula: arrays and layers, nothing of tables."""

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

#: The argument that only says how many rows there are, where no term does.
ROWS = "rows"
#: The argument that is added to a prediction.
OFFSET = "offset"


class CommonLayer(AbstractFixedLayer):
    """Linear terms under a fixed prior, of columns that are zero at the average row.

    The call gives what the term adds to each row, and what it would add to the row of averages.

    Args:
        coef_dist: Prior of the coefficients.
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
    """A term of the population: its name, its layer, the averages of its columns."""

    name: str
    layer: Callable[..., Any]
    center: np.ndarray | None


class Varying(NamedTuple):
    """Effects that vary between groups: the name, the layer, its columns, its groups."""

    name: str
    layer: Callable[..., Any]
    columns: str | None
    group: str
    num_groups: int


class Special(NamedTuple):
    """A term that is a layer of its own: its name, its function, its arguments."""

    name: str
    forward: Callable[..., Any]
    arguments: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Predictor:
    """A prediction of each row, as a sum of layers. It is called with arrays by name.

    Args:
        intercept: The layer of the intercept at the average row; None for none.
        common: Terms of the population.
        varying: Effects of groups.
        special: Terms that are layers.
        units: Predictions of each row.
        prefix: What names begin with, ``"sigma."`` of a parameter.
    """

    intercept: Callable[..., Any] | None
    common: tuple[Common, ...]
    varying: tuple[Varying, ...]
    special: tuple[Special, ...]
    units: int
    prefix: str = ""

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of its terms, the intercept first."""
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
    """A parameter of the likelihood that rows have each.

    Args:
        predictor: Its prediction.
        inverse: From the prediction to the parameter.
    """

    predictor: Predictor
    inverse: Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Program:
    """A NumPyro model. It is called with arrays by the names of terms.

    Args:
        main: The prediction of the likelihood's location.
        predicted: Further parameters that are predicted, by the link's arguments.
        name: The name of the observed site.
        link: The likelihood.
        own: The link's own parameters.
        bounds: ``"censored"``, ``"truncated"``, or None.
        is_against_first: Whether the first class has the prediction zero.
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
        """Draw or observe the outcome of rows; see `FormulaModel`."""
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
