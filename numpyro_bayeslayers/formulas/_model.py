"""The model of a formula."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from .. import _checks
from ..infer.fitting._tables import AbstractTableModel
from ._design import Design
from ._family import family_of, moments_of, own_priors, predicted_parameter
from ._layers import Layers
from ._program import Predicted, Predictor, Program
from ._text import weighted_outcome


class FormulaModel(AbstractTableModel):
    """The NumPyro model of a formula; returned by `formula`.

    Called without arguments, it observes the data of the formula, so stock NumPyro can run it:
    ``MCMC(NUTS(model), ...).run(key)``. `infer.fit` accepts the model, and the `Fit` predicts
    from new tables: ``found.predict(data=table)``.

    Args:
        text: The formula.
        data: Its table.
        family: The likelihood.
        priors: Priors by term name.
        namespace: Other names that the formula may use.
        parameters: Formulas of further parameters of the likelihood, by parameter name.
    """

    program: Program

    def __init__(
        self,
        text: str,
        data: Any,
        family: Any,
        priors: Mapping[str, Any] | None,
        namespace: Mapping[str, Any] | None,
        parameters: Any = None,
    ) -> None:
        self.text = text
        self._family = family_of(family)
        further = _checks.optional(_mapping)("parameters", parameters) or {}
        self._design = Design(text, further, data, self._family, dict(namespace or {}))
        self._y = self._design.outcome.values(self._design.table(data))
        first = self._design.first
        y = self._y.codes if hasattr(self._y, "codes") else self._y
        self._moments = moments_of(
            self._family.scale, y, first.get("offset"), first.get("trials")
        )
        self._priors = dict(priors or {})
        self.program = self._made()

    def __call__(self, data: Any = None, y: Any = None, **rows: Any) -> Any:
        """Draw or observe the outcome of each row.

        Args:
            data: The arguments that `rows` returns for a table; None for the table of the
                formula.
            y: The outcome; None to draw it. If `data` is None, the outcome of the formula.
            rows: Further arguments that `rows` returned.
        """
        if data is None and not rows:
            rows = dict(self._design.first)
            data, y = rows.pop("data"), self._y if y is None else y
        data, y, rows = jax.tree.map(_as_array, (data, y, rows), is_leaf=_is_column)
        return self.program(data, y, **rows)

    def __repr__(self) -> str:
        return f"FormulaModel({self.text!r}, {len(self.terms)} terms)"

    @property
    def terms(self) -> tuple[str, ...]:
        """The valid names of terms and parameters in `priors`."""
        predicted = self._design.parameters
        own = [name for name in self._family.own if name not in predicted]
        return (*(term for each in self._predictors for term in each.terms), *own)

    @property
    def _predictors(self) -> tuple[Predictor, ...]:
        further = (predicted.predictor for predicted in self.program.predicted.values())
        return self.program.main, *further

    @property
    def levels(self) -> tuple[Any, ...]:
        """The classes of the outcome in order; empty for numeric outcomes."""
        return self._design.outcome.levels

    def rows(self, data: Any = None) -> dict[str, Any]:
        """The arguments of the model for a table, without the outcome.

        Columns are coded as in the first table: categories have the same codes, and
        transformations such as ``scale(x)`` keep their fitted parameters.

        Args:
            data: The table; None for the table of the formula, whose outcome is then included.

        Raises:
            TypeError: If `data` is not a table.
            ValueError: If a column is missing, has missing entries or unknown levels, or a
                term is not finite.
        """
        if data is None:
            return {**self._design.first, "y": self._y}
        table = self._design.table(data)
        missing = [name for name in self._design.needed if name not in table.columns]
        if missing:
            raise ValueError(
                f"`data` must have the column `{missing[0]}`, which the formula {self.text!r} "
                f"needs; it has {', '.join(table.columns)}."
            )
        return self._design.rows(table)

    def axes(self) -> dict[str, tuple[tuple[int, tuple[str, ...], str], ...]]:
        """Names of the axes and entries of sites: groups, and columns with varying effects."""
        found: dict[str, tuple[tuple[int, tuple[str, ...], str], ...]] = {}
        for side, predictor in zip(self._design.sides, self._predictors, strict=True):
            for (_, columns, group), term in zip(
                side.blocks, predictor.varying, strict=True
            ):
                if term.columns is None:
                    continue
                labels = tuple(label for c in columns for label in c.labels)
                word = re.sub(r"\W+", "_", term.name).strip("_")
                own = (labels, f"{word}_column")
                of_groups = ((3, group.levels, f"{word}_level"), (2, *own))
                for site in ("theta", "theta_base"):
                    found[f"{term.name}.{site}"] = of_groups
                found[f"{term.name}.scale"] = ((2, *own),)
                other = (1, labels, f"{word}_other")
                found[f"{term.name}.correlation"] = ((2, *own), other)
        return found

    def outcome(self, data: Any) -> Any:
        """The outcome of each row of a table.

        Raises:
            ValueError: If its column is missing.
        """
        return self._design.outcome.values(self._design.table(data))

    def _made(self) -> Program:
        design, family, moments = self._design, self._family, self._moments
        outcome = design.outcome
        units, is_ordinal = outcome.units, family is family_of("ordinal")
        is_against_first = family is family_of("categorical")
        own = own_priors(family, moments, self._priors, design.parameters)
        if is_against_first:
            units = len(outcome.levels) - 1
        if family.outcome == "classes":
            self._check_classes(len(outcome.levels))
        if is_ordinal:
            own["num_classes"] = len(outcome.levels)
        data, num_rows = design.first["data"], len(self._y)
        of = lambda side, moments, units: Layers(
            side, data, moments, self._priors, units, num_rows
        )
        predicted = {}
        for name, side in design.parameters.items():
            found = predicted_parameter(family, name, moments, units)
            predictor = of(side, found.moments, 1).predictor()
            predicted[found.argument] = Predicted(predictor, found.inverse)
        return Program(
            of(design.main, moments, units).predictor(has_cuts=is_ordinal),
            predicted,
            outcome.name,
            family.link,
            own,
            outcome.bounds,
            is_against_first,
        )

    def _check_classes(self, count: int) -> None:
        is_two = self._family is family_of("bernoulli")
        if count < 2 or (is_two and count > 2):
            wanted = "two classes" if is_two else "two classes or more"
            raise ValueError(
                f"`{self._design.outcome.name}` must have {wanted} for this family, got "
                f"{list(self._design.outcome.levels)}."
            )


def formula(
    text: str,
    data: Any,
    family: Any = "gaussian",
    priors: Mapping[str, Any] | None = None,
    *,
    parameters: Any = None,
    weights: Any = None,
    namespace: Mapping[str, Any] | None = None,
) -> FormulaModel:
    r"""Build the NumPyro model of a formula from layers of this library.

    $$\hat y_i = \alpha + \sum_j (x_{ij} - \bar x_j) \beta_j + \sum_t f_t(x_i)
    + \sum_g z_i^\top \theta_{g, g_i} + o_i$$

    with the columns $x$ of common terms, terms $f_t$ that are layers (``s``, ``te``, ``mo``,
    ``gp``, ``hs``, and those of plugins), group effects $\theta_g$, and offsets $o$. Columns
    are coded by the package formulae.

    Default priors, where $m$ and $s$ are the mean and standard deviation of the outcome (for
    families that predict logarithms or log odds, $m$ is that of the mean and $s = 1$):

    - $\alpha \sim N(m, 2.5 s)$, the prediction at the average row,
    - $\beta_j \sim N(0, 2.5 s / \text{sd}(x_j))$; without an intercept columns are as they
      are, and $s$ is the outcome's root mean square,
    - scales of groups HalfNormal$(s / \text{sd}(z_j))$, of levels HalfNormal$(s)$, and
      correlations LKJ(1),
    - the standard deviation $\sigma \sim$ Exponential$(1 / s)$; other parameters of
      likelihoods as on the page of their link; terms that are layers as on theirs,
    - predictions of further parameters as those of families with logarithms: $m$ is
      $\log s$ for $\sigma$, the log odds of 0.1 for a gate, else 0, and $s$ is 1.

    Args:
        text: The formula, such as ``"y ~ 1 + age * sex + s(income, k=10) + (1 + age |
            store)"``.
        data: A table, or a dictionary of columns and matrices by name.
        family: The name of the likelihood (``"gaussian"``, ``"poisson"``, ...; the names of
            bambi and brms also work), or a link function, called as ``link(prediction, y,
            name=...)``.
        priors: Priors by the names in `FormulaModel.terms`. For ``"Intercept"`` (at the average
            row) and column terms, the distribution of one coefficient; for group effects such
            as ``"1+age|store"``, the prior of their scales; for terms that are layers, see the
            term; for parameters of the likelihood such as ``"sigma"``, see the link. A
            regression layer given as a prior replaces the term.
        parameters: Formulas of further parameters of the likelihood: ``{"sigma": "~ x"}``. They
            predict the logarithm of ``sigma``, ``concentration``, ``precision``, ``shape`` and
            ``df``, and the log odds of ``gate``, ``ends`` and ``ones``. Their terms are named
            ``"sigma.x"``.
        weights: Frequency weights of the rows: a column name or an expression of columns. The
            same as ``weighted(y, w)`` on the left-hand side.
        namespace: Functions and values used in the formula. Those of formulae (``center``,
            ``scale``, ``C``, ``bs``, ...) and ``np`` are predefined.

    Returns:
        The model, for `infer.fit` or stock NumPyro.

    Raises:
        ImportError: If formulae or pandas is not installed.
        TypeError: If an argument has the wrong type.
        ValueError: If the formula cannot be parsed, a column or term is unknown, entries are
            missing or not finite, a level has no rows, columns are perfectly collinear,
            successes exceed trials, or a lower bound is not below the upper one. The error
            names the term.

    Example:
        >>> import numpy as np
        >>> x = np.arange(6.0)
        >>> model = formula("y ~ 1 + x", {"x": x, "y": 2 * x})
        >>> model.terms
        ('Intercept', 'x', 'sigma')

    References:
        Capretto, Piho, Kumar, Westfall, Yarkoni, Martin (2022), "Bambi: A simple interface for
        fitting Bayesian linear models in Python", Journal of Statistical Software 103; Gelman,
        Hill, Vehtari (2020), "Regression and other stories", section 9.5, for the priors.
    """
    text = weighted_outcome(text, weights)
    model = FormulaModel(text, data, family, priors, namespace, parameters)
    for name in priors or {}:
        _checks.one_of("priors", name, model.terms)
    return model


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    _checks.instance(name, value, Mapping, 'formulas by name, {"sigma": "~ x"}')
    return value


def _is_column(value: Any) -> bool:
    return hasattr(value, "to_numpy") or hasattr(value, "codes")


def _as_array(value: Any) -> Any:
    """The values of a numeric column, or the codes of a categorical one."""
    if hasattr(value, "codes"):
        return jnp.asarray(value.codes, int)
    return jnp.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
