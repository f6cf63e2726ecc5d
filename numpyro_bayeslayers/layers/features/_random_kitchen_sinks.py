"""A linear readout of random features."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import lax
from jaxtyping import Array, Float, Num

from ... import _checks
from ..._base import AbstractRowLayer, call_child
from ..._settings import setting
from ...primitives import linear, sample_site
from .._linear_normal import AbstractLinearNormal, LinearNormal, remembered


class RandomKitchenSinks(AbstractRowLayer, AbstractLinearNormal):
    r"""Linear regression on random features: a Gaussian process of rank $F$.

    $$f(x) = \phi(x)\,\beta + b, \qquad
    \beta \sim N(\beta_0, 1),\quad b \sim N(b_0, 1)$$

    for the features $\phi$ of any feature layer. Given the parameters of the features, the
    weights can be integrated out: see `marginal` and `condition`.

    Args:
        rff: The feature layer, which has `in_features` and `num_outputs` and maps (n, in) to
            (n, F): `RBFFourierFeatures` or a similar layer, `OrthogonalRandomFeatures`, or your
            own.
        init_beta: Prior means $\beta_0$, (F, out). `init` sets zeros.
        init_bias: Prior means $b_0$, (out,). `init` sets zeros.
        name: Prefix of the sites; the default is ``"random_kitchen_sinks"``.

    Sites:
        The sites of the features, prefixed with their name, or ``rff`` if they have none;
        ``beta`` of event shape (F, out); ``bias`` of event shape (out,).

    Raises:
        ValueError: If `init_beta` or `init_bias` has the wrong shape, or if `out_features` is
            not positive.
        TypeError: If `rff` has no `in_features` or `num_outputs`.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.layers import RBFFourierFeatures
        >>> layer = RandomKitchenSinks.init(RBFFourierFeatures(3, 50), 2, name="f")
        >>> seed(layer, 0)(jnp.ones((5, 3))).shape
        (5, 2)

    References:
        Rahimi and Recht (2008), "Weighted sums of random kitchen sinks", NeurIPS; Lázaro-
        Gredilla et al. (2010), "Sparse spectrum Gaussian process regression", JMLR 11,
        section 3, for the marginal distribution.
    """

    rff: Any
    init_beta: Float[Array, "F out"] = eqx.field(converter=jnp.asarray)
    init_bias: Float[Array, " out"] = eqx.field(converter=jnp.asarray)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        size = _num_outputs(self.rff)
        for name, array, rank, expected in (
            ("init_beta", self.init_beta, 2, (size, "out")),
            ("init_bias", self.init_bias, 1, jnp.shape(self.init_beta)[1:]),
        ):
            shape = jnp.shape(array)
            if len(shape) != rank or any(
                a != b for a, b in zip(shape, expected, strict=True) if b != "out"
            ):
                raise ValueError(
                    f"`{name}` must have shape ({', '.join(map(str, expected))}), got {shape}: "
                    f"the features have `num_outputs`={size}. "
                    "`RandomKitchenSinks.init` makes prior means of the right shape."
                )

    @classmethod
    def init(
        cls, rff: Any, out_features: int, *, name: str | None = None
    ) -> "RandomKitchenSinks":
        """Create the layer with prior means zero."""
        out_features = _checks.size("out_features", out_features)
        beta = jnp.zeros((_num_outputs(rff), out_features))
        return cls(rff, beta, jnp.zeros(out_features), name)

    @property
    def in_features(self) -> int:
        """Size of the last axis of the input."""
        return self.rff.in_features

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        phi = call_child("rff", self.rff, x)
        beta = sample_site("beta", dist.Normal(self._means()[0], 1.0).to_event(2))
        bias = sample_site("bias", dist.Normal(self._means()[1], 1.0).to_event(1))
        return linear(phi, beta, bias)

    def _means(self) -> tuple[Array, Array]:
        """The prior means, as constants in the current precision."""
        dtype = jnp.result_type(float)
        return (
            lax.stop_gradient(self.init_beta).astype(dtype),
            lax.stop_gradient(self.init_bias).astype(dtype),
        )

    def _linear_normal(self) -> LinearNormal:
        def features(x: Array) -> Array:
            _checks.last_axis("x", x, "in_features", self.in_features)
            phi = call_child("rff", self.rff, x)
            return jnp.concatenate([phi, jnp.ones_like(phi[..., :1])], -1)

        beta, bias = self._means()
        means = jnp.concatenate([beta, bias[None]]).T
        squeezed = len(bias) == 1
        return LinearNormal(
            remembered(features),
            means[0] if squeezed else means,
            jnp.ones(means.shape[1:]),
            lambda weights: _sites(weights, squeezed),
        )


def _sites(weights: Array, squeezed: bool) -> dict[str, Array]:
    if squeezed:
        weights = weights[..., None, :]
    columns = jnp.swapaxes(weights, -1, -2)
    return {"beta": columns[..., :-1, :], "bias": columns[..., -1, :]}


def _num_outputs(rff: Any) -> int:
    if not (hasattr(rff, "num_outputs") and hasattr(rff, "in_features")):
        raise TypeError(
            "`rff` must be a feature layer, with `in_features` and `num_outputs`, got "
            f"{rff!r} ({type(rff).__name__})."
        )
    return rff.num_outputs
