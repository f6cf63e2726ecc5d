"""The model of a formula."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from .. import _checks, registry
from ..formula_terms._term import Term
from ..infer.fitting._tables import AbstractTableModel
from ..layers import InterceptLayer, RandomEffectsLayer, RandomSlopesLayer
from ._columns import Coded, Group, Numbers
from ._design import Design
from ._family import family_of, moments_of, own_priors
from ._program import Common, CommonLayer, Program, Special, Varying
from ._text import Block

# Standard deviations of the outcome that a coefficient may move it by.
_WIDTH = 2.5


class FormulaModel(AbstractTableModel):
    """The NumPyro model of a formula, which knows how to read tables. `formula` makes it.

    Called without arguments it observes the data of the formula: stock NumPyro may run it,
    ``MCMC(NUTS(model), ...).run(key)``. `infer.fit` takes it as it is, and the `Fit` predicts
    from new tables, ``found.predict(data=table)``.

    Args:
        text: The formula.
        data: Its table.
        family: The likelihood.
        priors: Priors by the names of terms.
        namespace: What else the formula may name.
    """

    program: Program

    def __init__(
        self,
        text: str,
        data: Any,
        family: Any,
        priors: Mapping[str, Any] | None,
        namespace: Mapping[str, Any] | None,
    ) -> None:
        self.text = text
        self._family = family_of(family)
        self._design = Design(text, data, self._family, dict(namespace or {}))
        self._y = self._design.outcome.values(self._design.table(data))
        first = self._design.first
        y = self._y.codes if hasattr(self._y, "codes") else self._y
        self._moments = moments_of(
            self._family.scale, y, first.get("offset"), first.get("trials")
        )
        self._priors = dict(priors or {})
        self.program = self._made()

    def __call__(self, data: Any = None, y: Any = None, **rows: Any) -> Any:
        """Draw, or observe, the outcome in rows.

        Args:
            data: What `rows` made of a table; None for the table of the formula.
            y: The outcome; None to draw it. That of the formula if `data` is None.
            rows: Further arguments that `rows` made.
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
        """The names that `priors` may have for terms and parameters."""
        program, own = self.program, tuple(self._family.own)
        first = () if program.intercept is None else ("Intercept",)
        parts = (*program.common, *program.varying, *program.special)
        return (*first, *(part.name for part in parts), *own)

    @property
    def levels(self) -> tuple[Any, ...]:
        """The classes of the outcome in their order; none of numbers."""
        return self._design.outcome.levels

    def rows(self, data: Any = None) -> dict[str, Any]:
        """What the model is called with for a table, without the outcome.

        Columns are coded as those of the first table: levels of categories are the same, and
        transformations such as ``scale(x)`` keep what they learned.

        Args:
            data: The table; None for that of the formula, then with the outcome.

        Raises:
            TypeError: If `data` is no table.
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
        """The names of the entries of sites: groups and columns of effects that vary."""
        found: dict[str, tuple[tuple[int, tuple[str, ...], str], ...]] = {}
        for (_, columns, group), term in zip(
            self._design.blocks, self.program.varying, strict=True
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
            found[f"{term.name}.correlation"] = ((2, *own), (1, labels, f"{word}_other"))
        return found

    def outcome(self, data: Any) -> Any:
        """The outcome in a table.

        Raises:
            ValueError: If its column is not there.
        """
        return self._design.outcome.values(self._design.table(data))

    def _made(self) -> Program:
        design, family, moments = self._design, self._family, self._moments
        outcome = design.outcome
        units, is_ordinal = outcome.units, family is family_of("ordinal")
        is_against_first = family is family_of("categorical")
        own = own_priors(family, moments, self._priors)
        if is_against_first:
            units = len(outcome.levels) - 1
        if family.outcome == "classes":
            self._check_classes(len(outcome.levels))
        if is_ordinal:
            own["num_classes"] = len(outcome.levels)
        intercept = None
        if design.parsed.has_intercept and not is_ordinal:
            prior = dist.Normal(moments.loc, _WIDTH * moments.scale)
            intercept = InterceptLayer(self._prior("Intercept", prior))
        program = Program(
            intercept,
            tuple(
                self._common(c, intercept is not None or is_ordinal) for c in design.common
            ),
            tuple(self._varying(*block, units) for block in design.blocks),
            tuple(self._special(special, units) for special in design.special),
            units,
            outcome.name,
            family.link,
            own,
            outcome.bounds,
            is_against_first,
        )
        return program

    def _check_classes(self, count: int) -> None:
        is_two = self._family is family_of("bernoulli")
        if count < 2 or (is_two and count > 2):
            wanted = "two classes" if is_two else "two classes or more"
            raise ValueError(
                f"`{self._design.outcome.name}` must have {wanted} for this family, got "
                f"{list(self._design.outcome.levels)}."
            )

    def _prior(self, name: str, default: Any) -> Any:
        return self._priors.get(name, default)

    def _common(self, coded: Coded, is_centered: bool) -> Common:
        values = np.asarray(self._design.first["data"][coded.name])
        center, spread = values.mean(0), values.std(0)
        if not is_centered:
            center = np.zeros_like(center)
        size = self._moments.scale if is_centered else self._moments.size
        spread = np.where(spread > 0, spread, np.sqrt(np.mean(values**2, 0)))
        default = dist.Normal(0.0, (_WIDTH * size / spread)[:, None])
        prior = self._prior(coded.name, default)
        if isinstance(prior, (dist.Distribution, type)):
            return Common(coded.name, CommonLayer(prior), center)
        return Common(coded.name, _checks.function(f"priors[{coded.name!r}]", prior), None)

    def _varying(
        self, block: Block, columns: list[Coded], group: Group, units: int
    ) -> Varying:
        name = self._design.name_of(block, columns)
        key, count = self._design.key_of(group), len(group.levels)
        is_level = len(columns) == 1 and columns[0].term is None
        spread = np.ones(1)
        if not is_level:
            values = np.asarray(self._design.first["data"][name])
            spread = values.std(0)
            spread = np.where(spread > 0, spread, np.sqrt(np.mean(values**2, 0)))
        scales = self._moments.scale / spread
        default = dist.HalfNormal(float(scales[0]) if is_level else scales[:, None])
        prior = self._prior(name, default)
        if not isinstance(prior, (dist.Distribution, type)):
            layer = _checks.function(f"priors[{name!r}]", prior)
        elif is_level and units == 1:
            kind: Any = RandomEffectsLayer
            layer = kind(prior)
        else:
            is_correlated = block.is_correlated and len(scales) > 1
            layer = RandomSlopesLayer(scale_dist=prior, correlated=is_correlated)
        return Varying(name, layer, None if is_level else name, key, count)

    def _special(self, special: Numbers, units: int) -> Special:
        call = special.name
        make = registry.get("formula_terms", call.split("(")[0])
        numbers = self._design.first["data"].get(call)
        columns, levels = special.labels, special.levels
        term = Term(
            call,
            columns,
            levels,
            units,
            self._moments.scale,
            len(self._y),
            self._prior(call, None),
        )
        first = () if numbers is None else (np.asarray(numbers),)
        names = [f"{call}[{name}]" for name in levels]
        codes = [self._design.first["data"][name].codes for name in names]
        try:
            forward = make(term, *first, *codes, **special.settings)
        except TypeError as error:
            raise TypeError(
                f"The term `{call}` cannot be made: {error}. Settings are named in the formula."
            ) from error
        arguments = (*([] if numbers is None else [call]), *names)
        return Special(call, forward, arguments)


def formula(
    text: str,
    data: Any,
    family: Any = "gaussian",
    priors: Mapping[str, Any] | None = None,
    *,
    namespace: Mapping[str, Any] | None = None,
) -> FormulaModel:
    r"""The NumPyro model of a formula, of layers of this library.

    $$\hat y_i = \alpha + \sum_j (x_{ij} - \bar x_j) \beta_j + \sum_t f_t(x_i)
    + \sum_g z_i^\top \theta_{g, g_i} + o_i$$

    with the columns $x$ of common terms, terms $f_t$ that are layers (``s``, ``gp``, ``hs``, and
    those of plugins), effects $\theta_g$ of groups, and offsets $o$. Columns are coded as the
    package formulae does.

    Priors, with the outcome's mean $m$ and standard deviation $s$ (for families whose
    predictions are logarithms or log odds, those of its mean, and 1):

    - $\alpha \sim N(m, 2.5 s)$, the prediction at the average row,
    - $\beta_j \sim N(0, 2.5 s / \text{sd}(x_j))$; without an intercept columns are as they
      are, and $s$ is the outcome's root mean square,
    - scales of groups HalfNormal$(s / \text{sd}(z_j))$, of levels HalfNormal$(s)$, and
      correlations LKJ(1),
    - the standard deviation $\sigma \sim$ Exponential$(1 / s)$; other parameters of
      likelihoods as on the page of their link; terms that are layers as on theirs.

    Args:
        text: The formula, ``"y ~ 1 + age * sex + s(income, k=10) + (1 + age | store)"``.
        data: A table, or a dictionary of columns and matrices by name.
        family: The name of the likelihood, ``"gaussian"``, ``"poisson"``, ...; those of bambi
            and brms are known. Or a link, called as ``link(prediction, y, name=...)``.
        priors: By the names in `FormulaModel.terms`. For ``"Intercept"`` (at the average row)
            and terms of columns a distribution of one coefficient; for effects of groups,
            ``"1+age|store"``, one of their scales; for terms that are layers what these say;
            for the likelihood, ``"sigma"``, what its link takes. A regression layer in place of
            a prior is the term itself.
        namespace: Functions and values that the formula names. Those of formulae (``center``,
            ``scale``, ``C``, ``bs``, ...) and ``np`` are there.

    Returns:
        The model, which `infer.fit` takes, and stock NumPyro.

    Raises:
        ImportError: If formulae or pandas is not installed.
        TypeError: If an argument is of a wrong kind.
        ValueError: If the formula cannot be read, a column or a term is unknown, entries are
            missing or not finite, a level has no rows, columns are perfectly collinear,
            successes exceed trials, or bounds are the wrong way round; with the term.

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
    model = FormulaModel(text, data, family, priors, namespace)
    for name in priors or {}:
        _checks.one_of("priors", name, model.terms)
    return model


def _is_column(value: Any) -> bool:
    return hasattr(value, "to_numpy") or hasattr(value, "codes")


def _as_array(value: Any) -> Any:
    """An array of numbers: those of a table, or the codes of categories."""
    if hasattr(value, "codes"):
        return jnp.asarray(value.codes, int)
    return jnp.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
