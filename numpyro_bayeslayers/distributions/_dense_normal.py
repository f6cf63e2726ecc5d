"""The output of a dense layer with independent normal weights."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import random
from jax.scipy.stats import norm
from jax.typing import ArrayLike
from jaxtyping import Array
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from .._promotion import promoting
from .._typing import PRNGKey
from ._arguments import as_float, with_rank


class DenseNormal(dist.Distribution):
    r"""The distribution of an output row of a dense layer with independent normal weights.

    With $W_{ij} \sim N(M_{ij}, S_{ij}^2)$ and $b_j \sim N(m_j, s_j^2)$, the entries of
    $y = xW + b$ are independent normals,

    $$y \sim N\big(xM + m,\; x^2 S^2 + s^2\big)$$

    (squares are elementwise). Rows of `x` are batch cells: they are treated as independent, as
    if each had separate weights.

    Where an output has zero variance (an all-zero row without bias), its scale is the smallest
    number whose square does not underflow, and its gradient with respect to the scales is zero.

    Args:
        x: Inputs $x$, (*batch, d_in).
        weight_loc: Means $M$ of the weights, (d_in, d_out) or (*batch, d_in, d_out), where
            `batch` broadcasts against that of `x`.
        weight_scale: Standard deviations $S$ of the weights, zero or positive, as
            `weight_loc`.
        bias_loc: Means $m$ of the bias, (*batch, d_out); zero by default.
        bias_scale: Standard deviations $s$ of the bias, zero or positive, as `bias_loc`; the
            default of zero means a known bias.
        validate_args: As in NumPyro's distributions.

    Raises:
        ValueError: If the shapes do not match, or a scale is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> row = DenseNormal(jnp.array([3.0, 4.0]), jnp.ones((2, 1)), jnp.full((2, 1), 0.1))
        >>> row.mean.tolist(), row.variance.round(2).tolist()
        ([7.0], [0.25])

    References:
        Kingma, Salimans, Welling (2015), "Variational dropout and the local
        reparameterization trick", NeurIPS, equation 6.
    """

    arg_constraints = {
        "x": constraints.real_vector,
        "weight_loc": constraints.real_matrix,
        "weight_scale": constraints.independent(constraints.nonnegative, 2),
        "bias_loc": constraints.real_vector,
        "bias_scale": constraints.independent(constraints.nonnegative, 1),
    }
    support = constraints.real_vector
    reparametrized_params = list(arg_constraints)
    x: Array
    weight_loc: Array
    weight_scale: Array
    bias_loc: Array
    bias_scale: Array

    def __init__(
        self,
        x: ArrayLike,
        weight_loc: ArrayLike,
        weight_scale: ArrayLike,
        bias_loc: ArrayLike | None = None,
        bias_scale: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        weight_loc = as_float("weight_loc", weight_loc)
        zero = np.zeros((1,), weight_loc.dtype)
        given = {
            "x": x,
            "weight_loc": weight_loc,
            "weight_scale": weight_scale,
            "bias_loc": zero if bias_loc is None else bias_loc,
            "bias_scale": zero if bias_scale is None else bias_scale,
        }
        args = {name: as_float(name, value) for name, value in given.items()}
        event_shape = _check_shapes(**args)
        ranks = {name: self.arg_constraints[name].event_dim for name in args}
        leads = {name: a.shape[: a.ndim - ranks[name]] for name, a in args.items()}
        try:
            batch_shape = jnp.broadcast_shapes(*leads.values())
        except ValueError as error:
            found = ", ".join(
                f"{shape} of `{name}`" for name, shape in leads.items() if shape
            )
            raise ValueError(f"The batch shapes {found} do not broadcast.") from error
        for name, a in args.items():
            setattr(self, name, with_rank(a, len(batch_shape) + ranks[name]))
        if 0 in batch_shape:  # the constraints of NumPyro cannot reshape what is empty
            validate_args = False
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @property
    def loc(self) -> Array:
        """The means of the outputs."""
        return self._moments()[0]

    @property
    def scale(self) -> Array:
        """The standard deviations of the outputs."""
        return self._moments()[1]

    def _moments(self) -> tuple[Array, Array]:
        weight = self.weight_loc, self.weight_scale
        bias = self.bias_loc, self.bias_scale
        return affine_moments(_affine, jnp.square, self.x, *weight, *bias)

    @promoting()
    def sample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None  # as in NumPyro's distributions
        loc, scale = self._moments()
        shape = tuple(sample_shape) + self.batch_shape + self.event_shape
        return loc + scale * random.normal(key, shape, loc.dtype)

    @promoting()
    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        loc, scale = self._moments()
        residual = value - loc
        # Away from a mean with zero variance, the density and its gradients are zero.
        is_beside = (scale <= _smallest(scale)) & (jnp.abs(residual) > 100 * scale)
        log_prob = norm.logpdf(jnp.where(is_beside, 0.0, residual), 0.0, scale)
        return jnp.sum(jnp.where(is_beside, -jnp.inf, log_prob), axis=-1)

    @property
    def mean(self) -> Array:
        return jnp.broadcast_to(self.loc, self.batch_shape + self.event_shape)

    @property
    def variance(self) -> Array:
        return jnp.broadcast_to(jnp.square(self.scale), self.batch_shape + self.event_shape)


def affine_moments(
    affine: Callable[[Array, Array, Array | None], Array],
    square: Callable[[Array], Array],
    x: Array,
    weight_loc: Array,
    weight_scale: Array,
    bias_loc: Array | None,
    bias_scale: Array | None,
) -> tuple[Array, Array]:
    """Mean and standard deviation of ``affine(x, weight, bias)`` under normal parameters.

    Args:
        affine: An operation that is linear in weight and bias.
        square: Function that maps `x` to the input whose output is the variance.
        x: The input.
        weight_loc: Means of the weight.
        weight_scale: Standard deviations of the weight.
        bias_loc: Means of the bias, or None without one.
        bias_scale: Standard deviations of the bias, or None if it is known.
    """
    bias_var = None if bias_scale is None else jnp.square(bias_scale)
    var = affine(square(x), jnp.square(weight_scale), bias_var)
    return affine(x, weight_loc, bias_loc), _safe_sqrt(var)


def _safe_sqrt(var: Array) -> Array:
    """The square root, with gradient zero at zero (an all-zero row has zero variance)."""
    is_positive = var > jnp.finfo(var.dtype).tiny
    root = jnp.sqrt(jnp.where(is_positive, var, 1.0))
    return jnp.where(is_positive, root, _smallest(var))


def _smallest(x: Array) -> Array:
    """The smallest positive number whose square does not underflow."""
    return jnp.sqrt(jnp.finfo(x.dtype).tiny).astype(x.dtype)


def _affine(x: Array, weight: Array, bias: Array | None) -> Array:
    """The product for each batch cell."""
    product = jnp.matmul(x[..., None, :], weight)[..., 0, :]
    return product if bias is None else product + bias


def _check_shapes(
    x: Array, weight_loc: Array, weight_scale: Array, bias_loc: Array, bias_scale: Array
) -> tuple[int, ...]:
    """The event shape, after a check that all arguments agree on it."""
    if weight_loc.ndim < 2:
        raise ValueError(
            "`weight_loc` must be a matrix, (*batch, d_in, d_out), got shape "
            f"{weight_loc.shape}."
        )
    d_in, d_out = weight_loc.shape[-2:]
    if x.shape[-1:] != (d_in,):
        raise ValueError(
            f"`x` must have {d_in} entries in its last axis, one for each row of `weight_loc`, got "
            f"shape {x.shape}."
        )
    if weight_scale.shape[-2:] != (d_in, d_out):
        raise ValueError(
            f"`weight_scale` must end in the shape {(d_in, d_out)} of `weight_loc`, got "
            f"shape {weight_scale.shape}. Expand a common scale with `jnp.full`."
        )
    for name, bias in (("bias_loc", bias_loc), ("bias_scale", bias_scale)):
        if bias.shape[-1:] not in ((1,), (d_out,)):
            raise ValueError(
                f"`{name}` must have {d_out} entries in its last axis, one for each column of "
                f"`weight_loc`, got shape {bias.shape}."
            )
    return (d_out,)
