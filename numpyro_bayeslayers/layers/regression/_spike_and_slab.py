"""Coefficients that are included in the model or not."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Num
from numpyro.handlers import infer_config
from numpyro.primitives import _PYRO_STACK, plate

from ... import _checks
from ..._settings import setting
from ...distributions import SpikeAndSlab
from ...handlers._gradient_estimator import normal_moments
from ...primitives import POSTERIOR, Site, linear, sample_site
from ._call import Activation, identity, named, on_columns
from ._prior import STANDARD, Family, Keywords, Prior

MAX_EXACT = 12

_TOO_MANY = (
    "`inclusion`='exact' sums over all 2^k ways to include k coefficients: at most {limit}, "
    "got {count} (columns times units), which would cost 2^{count} likelihood evaluations per "
    "step. Use inclusion='mixture', which costs one."
)
_IN_PLATE = (
    "`inclusion`='exact' cannot be used inside a plate (`{plate}` is open): NumPyro would sum "
    "out the inclusions of each cell separately, although the likelihood depends on them "
    "jointly, and the result would be wrong. Call the layer outside the plate, or use "
    "inclusion='mixture'."
)


class SpikeAndSlabLayer(eqx.Module):
    r"""Linear terms of which only some are in the model.

    $$y = a\big(x (z \circ \beta)\big), \qquad \beta_{iu} \sim \text{coef\_dist}$$

    with the inclusion $z_{iu}$ in one of three forms:

    - ``"gate"``: $z \sim \text{Beta}(\alpha, \beta)$, a number between 0 and 1. It samples
      with any inference method, but its mean mixes inclusion and effect size and is *not* the
      probability that the coefficient is in the model: halving the gate and doubling the
      coefficient gives the same model.
    - ``"exact"``: $z \sim \text{Bernoulli}(\alpha / (\alpha + \beta))$, one site for each
      coefficient, summed out by NumPyro's enumeration (automatic in NUTS; SVI needs
      `TraceEnum_ELBO` and a guide that hides them). The cost doubles with each coefficient:
      more than 12 raise an error. The model must have no plate, or its rows must be in the
      innermost plate (dim -1) and units must be an event axis or dropped: ``f[..., 0]``.
    - ``"mixture"``: $z \beta$ itself is drawn, as ``beta``, from a mixture of two normals, a
      narrow one and the slab, with weights $\beta / (\alpha + \beta)$ and
      $\alpha / (\alpha + \beta)$: `distributions.SpikeAndSlab`. Any number of coefficients;
      `coef_dist` must be Normal with location zero.

    Call it as ``layer(name, x, units=1, activation=identity)`` with `x` of shape (n, d); the
    output has shape (n, units). `inclusion_probabilities` gives the posterior probabilities.

    Args:
        alpha: First parameter $\alpha$ of the inclusion's distribution, positive.
        beta: Second parameter $\beta$, positive.
        coef_dist: Prior of the coefficients that are in the model: a class, or a
            distribution.
        coef_kwargs: Keywords of `coef_dist`.
        inclusion: ``"gate"``, ``"exact"`` or ``"mixture"``.
        spike_scale: Standard deviation of the mixture's spike: the size of coefficients that
            count as zero, in the units of the coefficients. The default is a hundredth of the
            slab's.

    Sites:
        ``beta`` (d, u); ``z`` (d, u) for gates; ``z_{i}_{u}`` () for each coefficient if
        exact.

    Raises:
        ValueError: If a keyword is unknown, missing or out of range, `alpha` or `beta` is not
            positive, or `inclusion` is unknown. When called with exact inclusion: if there are
            more than 12 coefficients, or inside a plate.
        TypeError: If the prior is not a distribution.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = SpikeAndSlabLayer(1.0, 4.0, inclusion="exact")
        >>> seed(layer, 0)("genes", jnp.ones((5, 3))).shape
        (5, 1)

    References:
        Mitchell and Beauchamp (1988), "Bayesian variable selection in linear regression",
        Journal of the American Statistical Association 83 (exact); George and McCulloch
        (1993), "Variable selection via Gibbs sampling", ibid. 88, section 2 (the mixture).
    """

    coef_prior: Prior = eqx.field(static=True)
    alpha: float = setting(check=_checks.positive)
    beta: float = setting(check=_checks.positive)
    inclusion: str = setting(check=_checks.choice("gate", "exact", "mixture"))
    spike_scale: float | None = setting(check=_checks.optional(_checks.positive))

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        coef_dist: Family = dist.Normal,
        coef_kwargs: Keywords = STANDARD,
        inclusion: str = "gate",
        spike_scale: float | None = None,
    ) -> None:
        self.coef_prior = Prior("coef", coef_dist, coef_kwargs, STANDARD, False)
        self.alpha, self.beta, self.inclusion = alpha, beta, inclusion
        self.spike_scale = spike_scale

    def __check_init__(self) -> None:
        if self.inclusion == "mixture":
            self._check_slab()
        elif self.spike_scale is not None:
            raise ValueError(
                f"`spike_scale` is for inclusion='mixture' alone, got {self.spike_scale} with "
                f"inclusion={self.inclusion!r}."
            )

    def _check_slab(self) -> None:
        slab = self.coef_prior.over(())
        is_centered = isinstance(slab, dist.Normal) and not np.any(slab.loc)
        if not (is_centered and np.ndim(slab.scale) == 0):
            raise ValueError(
                "`coef_dist` must be Normal of location 0 and a single scale for "
                f"inclusion='mixture', got {self.coef_prior}."
            )

    @property
    def prior_inclusion(self) -> float:
        """The prior probability that a coefficient is in the model."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def mixture(self) -> SpikeAndSlab:
        """The prior of a coefficient if `inclusion` is ``"mixture"``."""
        slab: Any = self.coef_prior.over(())
        return SpikeAndSlab(self.prior_inclusion, slab.scale, self.spike_scale)

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        forms = {"gate": self._gated, "exact": self._summed_out, "mixture": self._mixed}
        form = forms[self.inclusion]
        return activation(on_columns(lambda rows: form(rows, units), x))

    def _gated(self, x: Array, units: int) -> Array:
        shape = (x.shape[-1], units)
        gates = dist.Beta(self.alpha, self.beta).expand(shape).to_event(2)
        gate = sample_site("z", gates).value
        return linear(x, _times(gate, sample_site("beta", self.coef_prior.over(shape))))

    def _mixed(self, x: Array, units: int) -> Array:
        prior = self.mixture.expand((x.shape[-1], units)).to_event(2)
        return linear(x, sample_site("beta", prior))

    def _summed_out(self, x: Array, units: int) -> Array:
        shape = (x.shape[-1], units)
        count = x.shape[-1] * units
        if count > MAX_EXACT:
            raise ValueError(_TOO_MANY.format(limit=MAX_EXACT, count=count))
        plates = [h.name for h in _PYRO_STACK if isinstance(h, plate)]
        if plates:
            raise ValueError(_IN_PLATE.format(plate=plates[0]))
        beta = sample_site("beta", self.coef_prior.over(shape)).value
        included = dist.Bernoulli(self.prior_inclusion)
        axes = _axes_after_sums()
        out = []
        for u in range(units):
            total = jnp.zeros(x.shape[:-1] + (1,))
            for i in range(x.shape[-1]):
                with infer_config(config_fn=lambda _: {"enumerate": "parallel"}):
                    z = sample_site(f"z_{i}_{u}", included).value
                z = z.reshape(z.shape + (1,) * axes) if jnp.ndim(z) else z
                total = total + z * (x[..., i, None] * beta[..., i, u])
            out.append(total)
        shape = jnp.broadcast_shapes(*(column.shape for column in out))
        return jnp.concatenate([jnp.broadcast_to(c, shape) for c in out], axis=-1)


def _times(gate: Array, beta: Site) -> Site:
    """The product, with the guide's moments given the gate."""
    moments = normal_moments(beta)
    infer: dict[str, Any] = dict(beta.infer)
    if moments is not None:
        infer[POSTERIOR] = dist.Normal(moments[0] * gate, moments[1] * gate)
    return beta._replace(value=beta.value * gate, infer=infer)


def _axes_after_sums() -> int:
    """Number of axes to add to an enumerated value so that it broadcasts against (n, u).

    Enumeration puts its axes left of the plates. If the rows are the innermost plate, only the
    unit axis is added; in a model without plates, the row and unit axes are.
    """
    from numpyro.contrib.funsor import enum

    dims = [h.first_available_dim for h in _PYRO_STACK if isinstance(h, enum)]
    has_plates = bool(dims) and dims[-1] is not None and dims[-1] < -1
    return 1 if has_plates else 2
