"""Feature-wise scales and shifts."""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._settings import setting
from ..._typing import PRNGKey
from ._conditioner import (
    AbstractConditioner,
    AbstractVar,
    as_rows,
    drawn_map,
    own_map,
    uniform_linear,
)

Gamma: TypeAlias = Literal["one_plus_tanh", "exp", "softplus", "identity"]

# The scale as a function of its raw value, and the raw value at which the scale is 1.
_GAMMAS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "one_plus_tanh": (lambda raw: 1.0 + jnp.tanh(raw), 0.0),
    "exp": (jnp.exp, 0.0),
    "softplus": (jax.nn.softplus, math.log(math.e - 1.0)),
    "identity": (lambda raw: raw, 1.0),
}


class AbstractAffineModulation(AbstractConditioner):
    """A scale and a shift for each feature, computed from the context."""

    gamma_activation: AbstractVar[Gamma]

    def _apply(self, h: Array, z: Array) -> Array:
        beta, raw = jnp.split(self._map(z), 2, axis=-1)
        return _GAMMAS[self.gamma_activation][0](raw) * h + beta


class AffineModulation(AbstractAffineModulation):
    r"""A scale and a shift for each feature, computed from the context (FiLM).

    $$y = \gamma(z) \circ h + \beta(z), \qquad [\beta, r] = z A^\top + a, \quad
    \gamma = 1 + \tanh r$$

    It is initialized as the identity for every context, so that a conditioned network initially
    equals the unconditioned one.

    Args:
        num_features: Number of features $C$.
        cond_dim: Size of the context $K$.
        generator: The map from K to 2 C: shifts first, then raw scales.
        gamma_activation: Function from the raw value to the scale: ``"one_plus_tanh"``,
            ``"exp"``, ``"softplus"`` or ``"identity"``.
        name: Accepted for uniformity and unused: there are no sites to prefix.

    Raises:
        ValueError: If a size is not positive, the activation is unknown, or the shapes of
            features and contexts do not match.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer = AffineModulation.init(4, 2, key=jax.random.key(0))
        >>> bool((layer(jnp.ones((5, 4)), jnp.ones((5, 2))) == 1).all())
        True

    References:
        Perez, Strub, de Vries, Dumoulin, Courville (2018), "FiLM: visual reasoning with a
        general conditioning layer", AAAI, equation 2.
    """

    num_features: int = setting(check=_checks.size)
    cond_dim: int = setting(check=_checks.size)
    generator: eqx.nn.Linear
    gamma_activation: Gamma = setting(
        check=_checks.choice(*_GAMMAS), default="one_plus_tanh"
    )
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls,
        num_features: int,
        cond_dim: int,
        *,
        key: PRNGKey,
        gamma_activation: Gamma = "one_plus_tanh",
        init_scale: float = 0.0,
        name: str | None = None,
    ) -> "AffineModulation":
        r"""Create the identity, or a perturbation of it.

        Args:
            num_features: Number of features $C$.
            cond_dim: Size of the context $K$.
            key: Random key of the perturbation.
            gamma_activation: Function from the raw value to the scale.
            init_scale: Size of the perturbation: weights are uniform between plus and minus
                `init_scale` / sqrt(K); zero gives the identity.
            name: Accepted for uniformity and unused: there are no sites to prefix.
        """
        num_features = _checks.size("num_features", num_features)
        cond_dim = _checks.size("cond_dim", cond_dim)
        _checks.one_of("gamma_activation", gamma_activation, tuple(_GAMMAS))
        init_scale = _checks.non_negative("init_scale", init_scale)
        bound = init_scale / math.sqrt(cond_dim)
        generator = uniform_linear(cond_dim, 2 * num_features, key, bound, 0.0)
        neutral = _GAMMAS[gamma_activation][1]
        bias = jnp.zeros(2 * num_features).at[num_features:].set(neutral)
        generator = eqx.tree_at(lambda m: m.bias, generator, bias)
        return cls(num_features, cond_dim, generator, gamma_activation, name)

    def log_det(self, z: Num[ArrayLike, "*batch k"]) -> Float[Array, "*batch"]:
        r"""Log determinant of the Jacobian with respect to the features, $\sum_c r_c(z)$.

        Raises:
            NotImplementedError: For activations other than ``"exp"``, where the scale may
                vanish or change sign, or the log determinant does not have this form.
        """
        if self.gamma_activation != "exp":
            raise NotImplementedError(
                "`log_det` requires `gamma_activation='exp'`, this layer has "
                f"{self.gamma_activation!r}."
            )
        z = as_rows("z", z)
        _checks.last_axis("z", z, "cond_dim", self.cond_dim)
        rows = self._map(z.reshape(-1, self.cond_dim))
        return rows[:, self.num_features :].sum(-1).reshape(z.shape[:-1])

    def _map(self, x: Array) -> Array:
        return own_map(self.generator, x)


# The name used in the paper.
FiLM = AffineModulation


class BayesianAffineModulation(AbstractAffineModulation):
    r"""A scale and a shift for each feature, computed from the context, with normal priors.

    $$y = \gamma(z) \circ h + \beta(z), \qquad [\beta, r] = z A + a, \quad
    \gamma = 1 + \tanh r, \qquad A_{ij}, a_j \sim N(0, s^2)$$

    Args:
        num_features: Number of features $C$.
        cond_dim: Size of the context $K$.
        prior_std: Standard deviation $s$ of the priors, positive.
        gamma_activation: ``"one_plus_tanh"``, ``"exp"``, ``"softplus"`` or ``"identity"``.
        name: Prefix of the sites; the default is ``"bayesian_affine_modulation"``.

    Sites:
        ``gen_W`` (K, 2 C), ``gen_b`` (2 C,): shifts first, then raw scales.

    Raises:
        ValueError: If a size or `prior_std` is not positive, the activation is unknown, or the
            shapes of features and contexts do not match.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = BayesianAffineModulation.init(4, 2, name="c")
        >>> seed(layer, 0)(jnp.ones((5, 4)), jnp.ones(2)).shape
        (5, 4)

    References:
        Perez, Strub, de Vries, Dumoulin, Courville (2018), "FiLM: visual reasoning with a
        general conditioning layer", AAAI, equation 2.
    """

    num_features: int = setting(check=_checks.size)
    cond_dim: int = setting(check=_checks.size)
    prior_std: float = setting(check=_checks.positive, default=1.0)
    gamma_activation: Gamma = setting(
        check=_checks.choice(*_GAMMAS), default="one_plus_tanh"
    )
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls,
        num_features: int,
        cond_dim: int,
        *,
        prior_std: float = 1.0,
        gamma_activation: Gamma = "one_plus_tanh",
        name: str | None = None,
    ) -> "BayesianAffineModulation":
        """Create the conditioner; nothing is drawn."""
        return cls(num_features, cond_dim, prior_std, gamma_activation, name)

    @classmethod
    def of_features(
        cls,
        num_features: int,
        cond_dim: int,
        key: PRNGKey,
        prior_std: float = 1.0,
        gamma_activation: Gamma = "one_plus_tanh",
        name: str | None = None,
    ) -> "BayesianAffineModulation":
        """Create the conditioner; no key is needed."""
        return cls(num_features, cond_dim, prior_std, gamma_activation, name)

    def _map(self, x: Array) -> Array:
        return drawn_map("gen", 2 * self.num_features, self.prior_std, x)
