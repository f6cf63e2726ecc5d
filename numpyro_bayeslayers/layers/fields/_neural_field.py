"""Bayesian neural fields: networks over space and time."""

import math
from fractions import Fraction
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._base import AbstractLayer, on_rows
from ..._settings import setting
from ...basis._fourier import as_float, fourier_features
from ...basis._interaction import checked_pairs, interaction_features
from ...basis._seasonal import check_seasons, exact_frequencies, exact_waves
from ...handlers import tie
from ...primitives import linear, sample, sample_site


class BayesianNeuralField(AbstractLayer):
    r"""A Bayesian neural field: a network over time, space and other columns.

    With inputs $u = x / (s\, e^{a})$, the features are the blocks

    $$u; \quad \tfrac{\cos}{\sin}(2\pi 2^d u_i) / (d + 1) \text{ of each column;} \quad
    \tfrac{\cos}{\sin}(2\pi h t / \tau) / h \text{ of the raw time } t; \quad u_i u_j$$

    each multiplied by a gain $\zeta(g_k)$ (softplus). Blocks without features are omitted. The
    network on the features has `depth` hidden layers and a linear readout,

    $$h \leftarrow \sigma\big(\zeta(g_l) (h W_l / \sqrt{\text{fan in}} + b_l)\big), \qquad
    \sigma(z) = \alpha\,\mathrm{elu}(z) + (1 - \alpha) \tanh(z)$$

    Every prior is Logistic(0, 1); $\alpha$ is the logistic function of a variable with this prior.

    Args:
        input_scales: Scales $s$ of the columns, positive, in the columns' units.
        fourier_degrees: Number of frequencies $2^d$ of each column; zero for none.
        interactions: Pairs of columns; the product of each pair is a feature.
        seasonality_periods: Periods $\tau$, positive, in the units of the time column.
        num_seasonal_harmonics: Number of harmonics $h = 1, 2, \dots$ of each period, at most
            half the period. A fraction is rounded up, so that 0.5 gives the first harmonic for
            any period longer than one, as needed for continuous time.
        width: Units of each hidden layer.
        depth: Number of hidden layers.
        time_col: The column of time.
        use_clock: Whether the input has an additional last column with the raw time $t$ that is
            used only for the seasons. Use it for local clock time if the time column is elapsed
            time.
        name: Prefix of the sites; the default is ``"bayesian_neural_field"``.

    Sites:
        ``log_scale_adjustment`` (D,); ``feature_gain_{k}`` () for each block $k$ from 0;
        ``logit_activation_weight`` (); for each hidden layer ``layer_{l}_W`` (in, width),
        ``layer_{l}_b`` (width,), ``layer_{l}_gain`` (); ``output_W`` (in, 1), ``output_b``
        (1,), ``output_gain`` ().

    Raises:
        ValueError: If lengths do not agree, a scale, period or size is not positive, a column
            does not exist, or the number of harmonics exceeds half the period.
        TypeError: If a size or a degree is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> field = BayesianNeuralField(
        ...     [52.0, 1.0], [0, 2], [(0, 1)], [52.0], [3], width=8, depth=2, name="f"
        ... )
        >>> seed(field, 0)(jnp.ones((5, 2))).shape
        (5,)

    References:
        Saad, Burnim, Carroll, Patton, Köster, Saurous, Hoffman (2024), "Scalable
        spatiotemporal prediction with Bayesian neural fields", Nature Communications 15,
        methods.

    Note:
        As in the authors' implementation, a frequency that two periods share enters once, with
        the harmonic of the first; frequencies that are equal in single precision count as the
        same.
    """

    input_scales: tuple[float, ...] = setting(check=_checks.sequence(_checks.positive))
    fourier_degrees: tuple[int, ...] = setting(check=_checks.sequence(_checks.count))
    interactions: tuple[tuple[int, int], ...] = setting(check=checked_pairs)
    seasonality_periods: tuple[float, ...] = setting(
        check=_checks.sequence(_checks.positive)
    )
    num_seasonal_harmonics: tuple[float, ...] = setting(
        check=_checks.sequence(_checks.non_negative)
    )
    width: int = setting(check=_checks.size)
    depth: int = setting(check=_checks.size)
    time_col: int = setting(check=_checks.count, default=0)
    use_clock: bool = setting(check=_checks.switch, default=False)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        columns = len(self.input_scales)
        _checks.size("len(input_scales)", columns)
        if len(self.fourier_degrees) != columns:
            raise ValueError(
                f"`fourier_degrees` must have one entry for each of the {columns} columns "
                f"of `input_scales`, got {len(self.fourier_degrees)}. Zero gives no feature."
            )
        checked_pairs("interactions", self.interactions, columns)
        if self.time_col >= columns:
            raise ValueError(f"`time_col` must be below {columns}, got {self.time_col}.")
        periods, counts = self.seasonality_periods, self.num_seasonal_harmonics
        check_seasons("seasonality_periods", periods, "num_seasonal_harmonics", counts)
        for period, count in zip(periods, counts, strict=True):
            if count > period / 2:
                raise ValueError(
                    "`num_seasonal_harmonics` must be at most half of the period, got "
                    f"{count:g} for the period {period:g}."
                )

    @property
    def in_features(self) -> int:
        """Number of columns, including that of the clock."""
        return len(self.input_scales) + self.use_clock

    @property
    def num_features(self) -> int:
        """Number of input features of the first hidden layer."""
        waves = sum(self.fourier_degrees) + len(self._seasons()[0])
        return len(self.input_scales) + 2 * waves + len(self.interactions)

    @property
    def layers(self) -> tuple["_FieldLayer", ...]:
        """The hidden layers, the first one after the features, and the readout.

        Each maps rows to rows and draws its sites when it is called: apply them in order inside
        ``scope(prefix=field.prefix)`` and `handlers.tie`, so that they share the weight of the
        activation.
        """
        return tuple(_FieldLayer(self, index) for index in range(self.depth + 1))

    def _forward(self, x: Num[ArrayLike, "*batch d_in"]) -> Float[Array, "*rest"]:
        return on_rows(self._rows, x, self.in_features)[..., 0]

    def _rows(self, h: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        with tie():
            for layer in self.layers:
                h = layer(h)
        return h

    def _features(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        """The blocks of features, each multiplied by its gain."""
        x, columns = as_float(x), len(self.input_scales)
        clock = x[..., -1 if self.use_clock else self.time_col]
        x = x[..., :columns]
        adjustment = sample("log_scale_adjustment", _logistic(columns), rank=2)
        u = _rescaled(x, adjustment, self.input_scales)
        blocks = [u]
        for column, degree in enumerate(self.fourier_degrees):
            blocks.append(fourier_features(u[..., column], degree, rescale=True))
        numbers, frequencies = self._seasons()
        blocks.append(exact_waves(clock, numbers, frequencies, True))
        blocks.append(interaction_features(u, self.interactions))
        blocks = [block for block in blocks if block.shape[-1]]
        return _joined(blocks, [_gain(f"feature_gain_{k}") for k in range(len(blocks))])

    def _seasons(self) -> tuple[tuple[int, ...], tuple[Fraction, ...]]:
        """Harmonics and exact frequencies, each frequency once."""
        counts = [math.ceil(count) for count in self.num_seasonal_harmonics]
        numbers, frequencies = exact_frequencies(self.seasonality_periods, counts)
        periods = np.repeat(np.array(self.seasonality_periods, np.float32), counts)
        kept = {}
        for number, period, frequency in zip(numbers, periods, frequencies, strict=True):
            kept.setdefault(np.float32(number) / period, (number, frequency))
        return tuple(h for h, _ in kept.values()), tuple(f for _, f in kept.values())


class _FieldLayer(eqx.Module):
    """One layer of a field; the first includes the features, and the last is linear."""

    field: BayesianNeuralField
    index: int = setting(check=_checks.count)

    @property
    def in_features(self) -> int:
        return self.field.width if self.index else self.field.in_features

    @property
    def out_features(self) -> int:
        return self.field.width if self.index < self.field.depth else 1

    def __call__(self, h: Num[ArrayLike, "*batch d_in"]) -> Float[Array, "*rest d_out"]:
        return on_rows(self._rows, h, self.in_features)

    def _rows(self, h: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        if self.index == 0:
            h = self.field._features(h)
        if self.index == self.field.depth:
            return self._affine("output", h)
        weight = jax.nn.sigmoid(sample("logit_activation_weight", _logistic(), rank=2))
        z = self._affine(f"layer_{self.index}", h)
        return _activation(z, weight)

    def _affine(
        self, site: str, h: Float[Array, "*plates n d_in"]
    ) -> Float[Array, "*rest n d_out"]:
        fan_in = h.shape[-1]
        weight = sample_site(f"{site}_W", _logistic(fan_in, self.out_features))
        bias = sample_site(f"{site}_b", _logistic(self.out_features))
        return _gain(f"{site}_gain") * linear(h / math.sqrt(fan_in), weight, bias)


@partial(jax.jit, static_argnums=2)
def _rescaled(
    x: Float[Array, "*plates n d"],
    adjustment: Float[Array, "*more d"],
    scales: tuple[float, ...],
) -> Float[Array, "*rest n d"]:
    return x * (jnp.exp(-adjustment) / np.array(scales, x.dtype))


@jax.jit
def _joined(blocks: list[Array], gains: list[Array]) -> Float[Array, "*rest n m"]:
    return jnp.concatenate([b * g for b, g in zip(blocks, gains, strict=True)], axis=-1)


@jax.jit
def _activation(
    z: Float[Array, "*rest n m"], weight: Float[Array, "*plates"]
) -> Float[Array, "*rest n m"]:
    return weight * jax.nn.elu(z) + (1 - weight) * jnp.tanh(z)


def _logistic(*shape: int) -> dist.Distribution:
    return dist.Logistic(0.0, 1.0).expand(shape).to_event(len(shape))


def _gain(name: str) -> Float[Array, "*plates"]:
    return jax.nn.softplus(sample(name, _logistic(), rank=2))
