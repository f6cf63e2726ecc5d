"""The Laplace approximation."""

import functools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions import constraints
from numpyro.infer import Trace_ELBO, init_to_median, init_to_sample
from numpyro.infer.elbo import ELBO

from ... import _checks
from ..._promotion import promoting
from ...distributions._support import law_of
from ..compilation._effort import effort, options
from ..ensembles._svi_run import known_values
from ..rows._arguments import on_shapes, put_together
from ..rows._plates import on_all_rows
from ..training._member import Drawn
from ._afterwards import AbstractAfterwards, Trained
from ._flat_sites import LOC, AutoMode, FlatSites
from ._gauss_newton import Curvature, taps
from ._laplace_structure import STRUCTURES, Block, approximated, scaled_draw
from ._linearized import linearized
from ._method import EVIDENCE, Posterior, Problem, settle
from ._methods import Ensemble, run_variational

_PREFIX = "auto_"
_FACTOR = "auto_prior_factor"

_NO_SITE = "`subset` must match a latent site, got {given!r}; they are {names}."
_NO_LAST = (
    '`subset`="last" needs a layer of ours at the end of the model whose weight is a latent '
    "site. Name the sites by a pattern, such as {name!r}."
)
_NOT_NORMAL = (
    '`prior_precision`="marginal" needs normal priors, and the site {name!r} has {law}. Leave it '
    'out by `subset`, a pattern of the sites with normal priors, or take "model".'
)
_FLAT = (
    "The curvature at the mode is not positive in {which}: predictions there are those of the "
    "mode alone. Train longer (`num_steps`) or at a smaller step, or take another structure."
)


@dataclass(frozen=True, kw_only=True)
class Laplace(Ensemble):
    r"""Laplace approximation: a normal approximation of the posterior at a mode.

    $$p(u \mid y) \approx N(\hat u, \Lambda^{-1}), \qquad
    \Lambda = J^T F J - \nabla^2 \log p(\hat u)$$

    where $u$ are the unconstrained latent sites, $\eta$ the parameters of the distributions of
    the observations, $J = \partial \eta / \partial u$ and $F$ the Fisher information of $\eta$.
    The precision is thus the generalized Gauss-Newton matrix of the data minus the Hessian of
    the log prior. Minibatches are used only to find the mode; the curvature is computed from
    all rows. If all distributions are normal and linear in the sites, the approximation is
    exact.

    Predictions use the linearized model, $\eta(\hat u) + J (u - \hat u)$ in the unconstrained
    parameters of the distribution (the "generalized linear model"), for which the curvature is
    derived. With ``predictive="sampled"`` they use the model itself at draws of $u$, which is
    usually too wide for networks. Deterministic sites are always those at the draws. K-hat in
    `Fit.diagnostics` refers to the same model as the predictions.

    Args:
        structure: The structure of the curvature: ``"full"``, a d x d matrix for d numbers;
            ``"diag"``, its diagonal; ``"kron"``, for weights of dense layers a Kronecker
            product of the second moments of inputs and of output gradients (the diagonal for
            other sites); or ``"low_rank"``, the leading directions in addition to the diagonal
            of the prior.
        subset: The latent sites that are uncertain; all others are fixed at the mode:
            ``"all"``; ``"last"``, those of the last dense product; or one or several name
            patterns such as ``"net.*"``.
        rank: Number of directions of ``"low_rank"``, at least 1.
        prior_precision: ``"model"``, as in the model, or ``"marginal"``: the precision of
            normal priors is multiplied by a factor that maximizes the evidence at the fixed
            mode. The factor is stored in ``params["auto_prior_factor"]``.
        predictive: ``"linearized"`` or ``"sampled"``.
        num_members: Number of modes, at least 1; predictions are a mixture over several modes.
        optim: The optimizer of the modes, as in `VI`.

    Raises:
        TypeError: If an option has the wrong type.
        ValueError: If a number is out of range, or the value of an option is unknown.

    Example:
        >>> Laplace(structure="kron", subset="last").rank
        20

    References:
        Daxberger, Kristiadi, Immer, Eschenhagen, Bauer, Hennig (2021), "Laplace redux",
        NeurIPS, sections 2 and 3; Immer, Korzepa, Bauer (2021), "Improving predictions of
        Bayesian neural nets via local linearization", AISTATS, equation 8; Ritter, Botev,
        Barber (2018), "A scalable Laplace approximation for neural networks", ICLR,
        equation 6; MacKay (1992), "Bayesian interpolation", Neural Computation 4, for the
        factor.
    """

    structure: Literal["full", "diag", "kron", "low_rank"] = "full"
    subset: str | Sequence[str] = "all"
    rank: int = 20
    prior_precision: Literal["model", "marginal"] = "model"
    predictive: Literal["linearized", "sampled"] = "linearized"
    num_members: int = 1
    #: The options that drawing needs besides the arrays.
    drawn_by: ClassVar[frozenset[str]] = frozenset(
        {"structure", "subset", "rank", "prior_precision", "predictive"}
    )
    guide: Any = field(default=AutoMode, init=False, repr=False)
    loss: ELBO = field(default_factory=Trace_ELBO, init=False, repr=False, compare=False)
    centering: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        Ensemble.__post_init__(self)
        settle(
            self,
            structure=_checks.choice(*STRUCTURES),
            subset=_patterns,
            rank=_checks.size,
            prior_precision=_checks.choice("model", "marginal"),
            predictive=_checks.choice("linearized", "sampled"),
        )

    def _run(self, problem: Problem) -> Posterior:
        start = init_to_median if self.num_members == 1 else init_to_sample
        return run_variational(self, self.num_members, problem, start, _After(self))


def _patterns(name: str, given: Any) -> Any:
    if isinstance(given, str):
        return _checks.label(name, given)
    return _checks.sequence(_checks.label)(name, given)


class _After(AbstractAfterwards):
    """The curvature at the mode, and draws from the approximation."""

    def __init__(self, method: Laplace) -> None:
        self._method = method
        self._options = (
            method.structure,
            method.subset,
            method.rank,
            method.prior_precision,
            method.predictive,
        )

    def _kept(self, trained: Trained) -> "_Programs":
        make = lambda: _Programs(self._method, trained)
        return trained.kept(("laplace", *self._options), make)

    def shapes(self, trained: Trained, shapes: dict[str, Any]) -> dict[str, Any]:
        parts = trained.parts
        return jax.eval_shape(self._kept(trained).traced, shapes, parts.rows, parts.shared)

    def compute(self, trained: Trained, result: Any) -> dict[str, Array]:
        parts = trained.parts
        found = self._kept(trained).curve(known_values(result), parts.rows, parts.shared)
        name = "scale_tril" if _PREFIX + "scale_tril" in found else "scale"
        scales = found[_PREFIX + name]
        flat = np.flatnonzero(~np.asarray(scales).reshape(len(scales), -1).any(1))
        if flat.size:
            count = len(scales)
            which = "the fit" if count == 1 else f"members {flat.tolist()} of {count}"
            warnings.warn(_FLAT.format(which=which), stacklevel=5)
        return found

    def drawn(self, trained: Trained) -> Drawn:
        return self._kept(trained).drawn


class _Programs:
    """The programs for one model, its shapes and the options."""

    def __init__(self, method: Laplace, trained: Trained) -> None:
        member, problem = trained.member, trained.problem
        self._method, self._frame = method, trained.parts.frame
        self._model = member.drawn.model
        self._sites = FlatSites(member.guide)
        self._products = self._look(trained)
        self._names = self._chosen_names()
        self._chosen = np.concatenate([self._sites.places[n] for n in self._names])
        self._blocks = self._found_blocks() if method.structure == "kron" else {}
        self._compiled = functools.cache(
            lambda level: jax.jit(self.traced, compiler_options=options(level))
        )
        num_rows = trained.problem.data.num_rows
        posterior = on_all_rows(self._draw, num_rows, is_auto=True)
        self.drawn = Drawn(self._model, posterior)
        if method.predictive == "linearized":
            whole = on_all_rows(problem.model, num_rows)
            observed = problem.sites.observed
            how = (
                LOC,
                self._sites.unpack,
                self._sites.transform,
                self._sites.count,
                observed,
            )
            model = problem.bound(linearized(whole, *how))
            self.drawn = Drawn(on_all_rows(model, num_rows), posterior)

    def curve(self, values: dict[str, Any], rows: Any, shared: Any) -> dict[str, Array]:
        """The compiled curvature of all members."""
        num_rows = next((len(x) for x in rows if x is not None), 1)
        level = effort(len(self._chosen), num_rows, values)
        return self._compiled(level)(values, rows, shared)

    def _look(self, trained: Trained) -> taps:
        """Find the dense products of the model."""
        tapped = taps(self._model)

        def run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            values = {n: jnp.zeros(shape) for n, shape in self._sites.shapes.items()}
            values = {n: self._sites.transform(n)(x) for n, x in values.items()}
            model = numpyro.handlers.substitute(
                numpyro.handlers.seed(tapped, jax.random.key(0)), data=values
            )
            numpyro.handlers.trace(model).get_trace(*args, **kwargs)
            tapped.inputs.clear()  # values of this trace only

        on_shapes(run, trained.parts, trained.parts.num_rows or 0)
        return tapped

    def _chosen_names(self) -> list[str]:
        subset, names = self._method.subset, list(self._sites.places)
        if subset == "all":
            return names
        if subset == "last":
            found = [n for n in names if n in self._products.last]
            if not found:
                raise ValueError(_NO_LAST.format(name=names[-1]))
            return found
        patterns = [subset] if isinstance(subset, str) else list(subset)
        for pattern in patterns:
            if not any(fnmatchcase(n, pattern) for n in names):
                raise ValueError(_NO_SITE.format(given=pattern, names=names))
        return [n for n in names if any(fnmatchcase(n, p) for p in patterns)]

    def _found_blocks(self) -> dict[str, Block]:
        at = np.full(self._sites.count, -1)
        at[self._chosen] = np.arange(len(self._chosen))
        blocks: dict[str, Block] = {}
        for name, tap in self._products.found.items():
            width = tap.shape[1], tap.out[1]
            if name in self._products.several:
                continue
            if self._is_free(name, math.prod(width)):
                blocks[name] = Block(tap, at[self._sites.places[name]], True)
            if tap.bias is not None and self._is_free(tap.bias, width[1]):
                blocks[tap.bias] = Block(tap, at[self._sites.places[tap.bias]], False)
        return blocks

    def _is_free(self, name: str, size: int) -> bool:
        """Whether a site is uncertain, unconstrained, and has the given number of entries."""
        if name not in self._names or len(self._sites.places[name]) != size:
            return False
        support: Any = self._sites.law(name).support
        while hasattr(support, "base_constraint"):
            support = support.base_constraint
        return isinstance(support, type(constraints.real))

    def traced(self, values: dict[str, Any], rows: Any, shared: Any) -> dict[str, Array]:
        """The same, for tracing."""
        args, kwargs = put_together(rows, shared, self._frame)

        def of_member(values: dict[str, Any]) -> dict[str, Array]:
            others = {n: x for n, x in values.items() if n != LOC}
            loc, chosen = values[LOC], self._chosen
            how = self._sites.unpack, self._sites.transform, others, loc, chosen
            curvature = Curvature(self._model, args, kwargs, *how)
            far = None
            if self._method.prior_precision == "marginal":
                self._check_normal(curvature, loc)
                far = curvature.squared_distance(self._names)
            method = self._method
            found = approximated(
                method.structure, curvature, method.rank, self._blocks, far
            )
            arrays = {_PREFIX + n: x for n, x in found.arrays.items()}
            data, prior = curvature.densities(loc[chosen])
            size = len(chosen)
            if far is not None:
                prior += 0.5 * size * jnp.log(found.factor) - 0.5 * (found.factor - 1) * far
            around = 0.5 * size * math.log(2 * math.pi) - 0.5 * found.log_det
            return arrays | {EVIDENCE: data + prior + around, _FACTOR: found.factor}

        with promoting():
            return jax.lax.map(of_member, values)

    def _check_normal(self, curvature: Curvature, loc: Array) -> None:
        sites, _ = curvature.sites(loc)
        for name in self._names:
            law = law_of(sites[name]["fn"])
            if not isinstance(law, dist.Normal):
                raise ValueError(_NOT_NORMAL.format(name=name, law=type(law).__name__))

    def _draw(self, *args: Any, **kwargs: Any) -> None:
        """The guide."""
        size = len(self._chosen)
        loc: Any = numpyro.param(LOC, jnp.zeros(self._sites.count))
        arrays = {n: numpyro.param(_PREFIX + n, None) for n in self._arrays()}
        standard = dist.Normal(jnp.zeros(size), 1.0).to_event(1)
        draw: Any = numpyro.sample("_auto_latent", standard, infer={"is_auxiliary": True})
        moved, log_det = scaled_draw(arrays, self._blocks, draw)
        self._sites.emit(loc.at[self._chosen].add(moved), -log_det)

    def _arrays(self) -> list[str]:
        if self._method.structure == "full":
            return ["scale_tril"]
        if self._method.structure == "low_rank":
            return ["scale", "basis", "shrinkage"]
        pairs = self._blocks.items()
        sides = [f"{n}.in" for n, block in pairs if block.is_weight]
        return ["scale", *sides, *(f"{n}.out" for n, _ in pairs)]
