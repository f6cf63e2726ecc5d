"""The mathematical notation of a model, derived from its trace."""

import math
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import random
from numpyro.handlers import seed, substitute, trace

from .. import _checks
from .._threads import ALONE
from .._typing import Model
from ..handlers._feasible import feasible
from .rows._determined import inputs_of

_GREEK = set(
    re.findall(
        r"\w+",
        "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi rho sigma tau phi "
        "chi psi omega",
    )
)
_WRAPPERS = (dist.Independent, dist.ExpandedDistribution, dist.MaskedDistribution)


class Description(NamedTuple):
    """A model in mathematical notation: prints as text, and as LaTeX in notebooks.

    Args:
        text: A line for each site: ``slope.beta ~ Normal(0, slope.scale)``.
        latex: The same, an aligned display.
    """

    text: str
    latex: str

    def __str__(self) -> str:
        return self.text

    def _repr_latex_(self) -> str:
        return self.latex


class _Line(NamedTuple):
    """A site: its distribution and parameters, each a number or the sites it depends on."""

    name: str
    shape: tuple[int, ...]
    law: str
    parameters: dict[str, Any]


def describe(model: Model, *args: Any, **kwargs: Any) -> Description:
    """Write a model in mathematical notation: the distribution of each site, given others.

    The model is traced once. Parameters of distributions are numbers, names of sites, or
    ``f(a, b)`` if they are computed from the sites ``a`` and ``b``; so are deterministic sites.
    Sites are listed in the order of the model, with the shape of their values.

    Args:
        model: A NumPyro model.
        args: Its arguments.
        kwargs: Its keyword arguments.

    Raises:
        TypeError: If `model` is not a function.

    Example:
        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist
        >>> from numpyro_bayeslayers.layers import FixedPriorLayer, gaussian_link
        >>> def model(x, y=None):
        ...     return gaussian_link(FixedPriorLayer()("slope", x), y)
        >>> print(describe(model, jnp.ones((5, 2))))
        slope.beta (2, 1) ~ Normal(0, 1)
        obs.sigma ~ Exponential(1)
        obs (5) ~ Normal(f(slope.beta), obs.sigma)
    """
    with ALONE:
        _checks.function("model", model)
        run = feasible(model)
        sites = trace(seed(run, random.key(0))).get_trace(*args, **kwargs)
        shown = {n: s for n, s in sites.items() if s["type"] in ("sample", "deterministic")}
        free = {n: s["value"] for n, s in shown.items() if not s.get("is_observed")}
        free = {
            n: v
            for n, v in free.items()
            if isinstance(v, (jax.Array, np.ndarray, float, int))
        }
        drawn = {n: v for n, v in free.items() if shown[n]["type"] == "sample"}

        def sources_of(
            values: dict[str, Any], kind: str
        ) -> dict[tuple[str, str], set[str]]:
            """The values from which each parameter of the sites of a type is computed."""
            keys: list[tuple[str, str]] = []

            def parameters(values: dict[str, Any]) -> list[Any]:
                given = substitute(seed(run, random.key(0)), data=values)
                found = trace(given).get_trace(*args, **kwargs)
                parts = _parts({n: found[n] for n, s in shown.items() if s["type"] == kind})
                keys.extend(key for key, _ in parts)
                return [jnp.asarray(x) for _, x in parts]

            needs = inputs_of(jax.make_jaxpr(parameters)(values))
            names = sorted(values)  # as JAX orders a dictionary
            return {k: {names[i] for i in n} for k, n in zip(keys, needs, strict=True)}

        # Distributions that use a deterministic site depend on it alone; it depends on the
        # drawn sites.
        needs = sources_of(free, "sample") | sources_of(drawn, "deterministic")
        lines: dict[str, _Line] = {
            name: _Line(name, jnp.shape(s["value"]), _law(s), {})
            for name, s in shown.items()
        }
        for (name, argument), value in _parts(shown):
            sources = [n for n in lines if n in needs[name, argument] and n != name]
            lines[name].parameters[argument] = _value(value, sources, free)
        text = "\n".join(map(_text, lines.values()))
        body = r" \\".join(map(_latex, lines.values()))
        return Description(text, r"$$\begin{aligned}" + body + r"\end{aligned}$$")


def _parts(sites: dict[str, Any]) -> list[tuple[tuple[str, str], Any]]:
    """The parameters of the sites' distributions in order; a deterministic site is its own one."""
    found: list[tuple[tuple[str, str], Any]] = []
    for name, site in sites.items():
        if site["type"] == "deterministic":
            found.append(((name, "value"), site["value"]))
            continue
        law = _base(site["fn"])
        for argument in law.arg_constraints:
            value = vars(law).get(argument)
            if isinstance(value, (jax.Array, np.ndarray, float, int)):
                found.append(((name, argument), value))
    return found


def _base(law: Any) -> Any:
    while isinstance(law, _WRAPPERS):
        law = law.base_dist
    return law


def _law(site: Any) -> str:
    return "" if site["type"] == "deterministic" else type(_base(site["fn"])).__name__


def _value(value: Any, sources: list[str], free: dict[str, Any]) -> Any:
    """The sites from which a parameter is computed; its numbers, if there are none."""
    if not sources:
        return np.asarray(value)
    whole = len(sources) == 1 and np.array_equal(
        np.squeeze(value), np.squeeze(free[sources[0]])
    )
    return (sources, whole)


def _number(value: float) -> str:
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.3g}"


def _numbers(values: np.ndarray) -> str:
    flat = np.unique(values.ravel().astype(float))
    if flat.size <= 1:
        return _number(float(flat[0])) if flat.size else ""
    if values.size <= 4:
        return "[" + ", ".join(_number(float(x)) for x in values.ravel()) + "]"
    return f"[{_number(float(flat[0]))} to {_number(float(flat[-1]))}]"


def _text(line: _Line) -> str:
    def one(value: Any) -> str:
        if isinstance(value, np.ndarray):
            return _numbers(value)
        names, is_whole = value
        return names[0] if is_whole else f"f({', '.join(names)})"

    shape = f" ({', '.join(map(str, line.shape))})" if line.shape else ""
    inside = ", ".join(map(one, line.parameters.values()))
    return f"{line.name}{shape} " + (
        f"~ {line.law}({inside})" if line.law else f"= {inside}"
    )


def _latex(line: _Line) -> str:
    def one(value: Any) -> str:
        if isinstance(value, np.ndarray):
            return _numbers(value).replace("inf", r"\infty").replace(" to ", r",\ \dots,\ ")
        names, is_whole = value
        symbols = ", ".join(map(_symbol, names))
        return symbols if is_whole else f"f({symbols})"

    inside = r",\ ".join(map(one, line.parameters.values()))
    name = r"\mathcal{N}" if line.law == "Normal" else rf"\text{{{line.law}}}"
    right = rf"\sim {name}\left({inside}\right)" if line.law else rf"= {inside}"
    return f"{_symbol(line.name)} &{right}"


def _symbol(name: str) -> str:
    r"""A site's name as a symbol: ``price.beta`` is $\beta_{\text{price}}$."""
    prefix, _, last = name.rpartition(".")
    word, is_base = last.removesuffix("_base"), last.endswith("_base")
    symbol = rf"\{word}" if word in _GREEK else rf"\text{{{_escaped(word)}}}"
    symbol = rf"\tilde{{{symbol}}}" if is_base else symbol
    return symbol + (rf"_{{\text{{{_escaped(prefix)}}}}}" if prefix else "")


def _escaped(word: str) -> str:
    return re.sub(r"([_%&#$^{}])", r"\\\1", word)
