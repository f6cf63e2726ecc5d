"""A Gaussian process of fixed random features, on top of a network."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, Float, Num
from numpyro.handlers import seed, substitute
from numpyro.primitives import Messenger

from ... import _checks
from ..._base import AbstractLayer, AbstractRowLayer
from ..._settings import setting
from ..._typing import Message, PRNGKey
from ...primitives import linear, sample_site
from .._linear_normal import AbstractLinearNormal, LinearNormal
from ..features._orthogonal import OrthogonalRandomFeatures
from ._laplace_covariance import LaplaceRandomFeatureCovariance


class RandomFeatureOutputs(NamedTuple):
    """Features and outputs of a `RandomFeatureGaussianProcess` inside a model.

    Args:
        features: The features of the rows, (n, features).
        logits: The outputs, (n, outputs).
    """

    features: Array
    logits: Array


class RandomFeatureGaussianProcess(AbstractRowLayer, AbstractLinearNormal):
    r"""A Gaussian process output layer with random features, for distance-aware networks.

    $$f(x) = \phi(x)\,\beta, \qquad \beta \sim N(0, s^2)$$

    for fixed random features $\phi$ whose inner products approximate a Gaussian kernel. Put it
    on layers that preserve distances (`SpectralNormalization`), fit the mode, and accumulate
    the Laplace covariance of $\beta$ in one pass over the data: `covariance` creates it, and
    `outputs_of` computes the arguments of its updates. Far from all data, the variance returns
    to that of the prior, $s^2 |\phi|^2$. `basis.mean_field_logits` then shrinks the logits.

    For normal noise and features of the raw inputs (no network below), `marginal` and
    `condition` are exact, and the Laplace covariance is the posterior covariance.

    Args:
        rff: A feature map without sites, which has `in_features` and `num_outputs` and maps (n,
            in) to (n, F). `init` creates an `OrthogonalRandomFeatures`.
        out_features: Number of outputs, or of classes.
        prior_scale: Standard deviation $s$ of the weights' prior, positive.
        name: Prefix of the sites; the default is ``"random_feature_gaussian_process"``.

    Sites:
        ``beta`` of event shape (F, out).

    Raises:
        ValueError: If `out_features` or `prior_scale` is not positive.
        TypeError: If `rff` is not a feature map, or is a layer with sites.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro
        >>> from numpyro.handlers import seed
        >>> layer = RandomFeatureGaussianProcess.init(3, 2, 50, key=jax.random.key(0), name="f")
        >>> seed(layer, 0)(jnp.ones((5, 3))).shape
        (5, 2)
        >>> found = layer.outputs_of(layer, {"f.beta": jnp.zeros((100, 2))}, jnp.ones((5, 3)))
        >>> covariance = layer.covariance("categorical").update(*found)
        >>> covariance.variance(found.features).shape
        (5, 2)

    References:
        Liu, Lin, Padhy, Tran, Bedrax-Weiss, Lakshminarayanan (2020), "Simple and principled
        uncertainty estimation with deterministic deep learning via distance awareness",
        NeurIPS, equations 7 to 9; Yu, Suresh, Choromanski, Holtmann-Rice, Kumar (2016),
        "Orthogonal random features", NeurIPS, for the features.

    Note:
        Liu et al. use cosines with random phases; this layer uses cosines and sines of half as
        many frequencies, whose inner products are exactly 1 on the diagonal.
    """

    rff: Any
    out_features: int = setting(check=_checks.size)
    prior_scale: float = setting(check=_checks.positive, default=1.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        has_sizes = hasattr(self.rff, "num_outputs") and hasattr(self.rff, "in_features")
        if not has_sizes or isinstance(self.rff, AbstractLayer):
            raise TypeError(
                "`rff` must be a feature map without sites, with `in_features` and "
                f"`num_outputs`, such as an OrthogonalRandomFeatures, got {self.rff!r}. For "
                "features with sites, use RandomKitchenSinks."
            )

    @classmethod
    def init(
        cls,
        in_features: int,
        out_features: int,
        n_features: int = 512,
        *,
        key: PRNGKey,
        lengthscale: Any = 1.0,
        prior_scale: float = 1.0,
        name: str | None = None,
    ) -> "RandomFeatureGaussianProcess":
        """Create the layer, with `n_features` orthogonal frequencies drawn with the random `key`.

        Args:
            in_features: Size of the last axis of the input.
            out_features: Number of outputs, or of classes.
            n_features: Number of frequencies; a row has twice as many features.
            key: A random key.
            lengthscale: The kernel's lengthscale, positive, in units of the input.
            prior_scale: Standard deviation of the weights' prior, positive.
            name: Prefix of the sites.
        """
        rff = OrthogonalRandomFeatures.init(
            in_features, n_features, key=key, lengthscale=lengthscale
        )
        return cls(rff, out_features, prior_scale, name)

    @property
    def in_features(self) -> int:
        """Size of the last axis of the input."""
        return self.rff.in_features

    def covariance(
        self,
        likelihood: Literal["gaussian", "bernoulli", "poisson", "categorical"] = "gaussian",
        *,
        noise_scale: float = 1.0,
        momentum: float | None = None,
        num_rows: int | None = None,
        use_joint: bool = False,
    ) -> LaplaceRandomFeatureCovariance:
        """The Laplace covariance of the weights before any data.

        Args:
            likelihood: Likelihood of the outputs, see `LaplaceRandomFeatureCovariance`.
            noise_scale: Standard deviation of gaussian noise, positive.
            momentum: Momentum of a moving average; None for the sum.
            num_rows: The total number of rows, required for momentum.
            use_joint: Whether classes have one joint matrix.
        """
        return LaplaceRandomFeatureCovariance.init(
            self.rff.num_outputs,
            self.out_features,
            likelihood=likelihood,
            noise_scale=noise_scale,
            ridge_penalty=self.prior_scale**-2,
            momentum=momentum,
            num_rows=num_rows,
            use_joint=use_joint,
        )

    def outputs_of(
        self,
        model: Callable[..., Any],
        values: Mapping[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> RandomFeatureOutputs:
        """Features and outputs of this layer at its call in `model`.

        Args:
            model: The NumPyro model in which the layer is called.
            values: Latent sites and parameters of the model by name, such as the fitted mode.
                For members of an ensemble, use `jax.vmap` over their values.
            args: Arguments of the model.
            kwargs: Keyword arguments of the model.

        Raises:
            ValueError: If the model does not call the layer, or if the value of a site that is
                drawn before it is missing.
        """
        listener = _Listen(f"{self.prefix}.beta")
        with listener:
            seed(substitute(model, data=dict(values)), random.key(0))(*args, **kwargs)
        if listener.found is None:
            raise ValueError(
                f"`model` must call the layer {self.prefix!r}: it has no product with the site "
                f"'{self.prefix}.beta'."
            )
        return listener.found

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        shape = (self.rff.num_outputs, self.out_features)
        prior = dist.Normal(0.0, self.prior_scale).expand(shape).to_event(2)
        return linear(self.rff(x), sample_site("beta", prior))

    def _linear_normal(self) -> LinearNormal:
        def features(x: Array) -> Array:
            _checks.last_axis("x", x, "in_features", self.in_features)
            return self.rff(x)

        size = self.rff.num_outputs
        is_squeezed = self.out_features == 1
        return LinearNormal(
            features,
            jnp.zeros((size,) if is_squeezed else (self.out_features, size)),
            jnp.full(size, self.prior_scale),
            lambda weights: {
                "beta": jnp.swapaxes(
                    weights[..., None, :] if is_squeezed else weights, -1, -2
                )
            },
        )


class _Listen(Messenger):
    """Records the first product with a weight."""

    def __init__(self, weight: str) -> None:
        self._weight = weight
        self._drawn: list[str] = []
        self.found: RandomFeatureOutputs | None = None
        super().__init__()

    def process_message(self, msg: Message) -> None:
        is_latent = msg["type"] in ("sample", "param") and not msg.get("is_observed")
        if is_latent and msg["value"] is None:
            self._drawn.append(msg["name"])

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] != "linear" or self.found is not None:
            return
        name = msg["weight"].name
        if name != self._weight and not name.endswith(f".{self._weight}"):
            return
        if self._drawn:
            raise ValueError(
                f"`values` must have all sites that are drawn before {name!r}, and has no "
                f"{', '.join(map(repr, self._drawn))}."
            )
        self.found = RandomFeatureOutputs(msg["args"][0], msg["value"])
