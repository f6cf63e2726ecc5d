"""The Laplace covariance of a linear layer, accumulated over minibatches."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._settings import setting

LIKELIHOODS = ("gaussian", "bernoulli", "poisson", "categorical")


class LaplaceRandomFeatureCovariance(eqx.Module):
    r"""The Laplace approximation's covariance of weights $\beta_k \sim N(0, I / s)$.

    $$\Lambda_k = s I + \sum_i h_{ik}\, \phi_i \phi_i^\top, \qquad
    \operatorname{Var}[\phi(x)\,\beta_k] \approx \phi(x)^\top \Lambda_k^{-1} \phi(x)$$

    with the curvature $h_{ik}$ of the log likelihood of row $i$ in its $k$-th output:

    | likelihood | $h_{ik}$ |
    | --- | --- |
    | ``"gaussian"`` | $1 / \sigma^2$; all outputs share one matrix |
    | ``"bernoulli"`` | $p_{ik} (1 - p_{ik})$ |
    | ``"poisson"`` | the rate |
    | ``"categorical"`` | $p_{ik} (1 - p_{ik})$ |

    For classes, the exact curvature also has terms between the outputs $k$ and $l$,
    $p_{ik} (\delta_{kl} - p_{il})$; `use_joint` includes them.

    It is immutable: `update` returns a new object. Rows may come in any number of minibatches;
    without momentum, the sum equals that of all rows up to rounding. Start each pass over the
    data from `reset()`, because otherwise earlier passes count again. The Laplace approximation
    is taken at the mode, so use features and logits of the trained model.

    Args:
        information: The accumulated sum above, without $s I$. `init` sets zeros.
        num_updates: Number of minibatches so far. `init` sets zero.
        num_outputs: Number of outputs, or of classes.
        likelihood: One of the four above.
        noise_scale: Standard deviation $\sigma$ of gaussian noise, positive.
        ridge_penalty: Precision $s$ of the weights' prior, positive.
        momentum: None for the sum; or $m$, at least 0 and below 1, for a moving average over
            minibatches of the estimated sum over all rows, $m A + (1 - m) (N / B) \sum_i$,
            divided by $1 - m^t$ after $t$ minibatches. It tracks a model during training.
        num_rows: The total number of rows $N$, required for momentum.
        use_joint: Whether outputs of ``"categorical"`` have one joint matrix, which is the
            exact Laplace covariance, with as many rows as features times outputs.

    Raises:
        ValueError: If a setting is out of range, if `momentum` is given without `num_rows`, or
            if `use_joint` is set for another likelihood.

    Example:
        >>> import jax.numpy as jnp
        >>> covariance = LaplaceRandomFeatureCovariance.init(2)
        >>> covariance = covariance.update(jnp.array([[1.0, 0.0]]))
        >>> covariance = covariance.update(jnp.array([[2.0, 0.0]]))
        >>> covariance.precision
        Array([[6., 0.],
               [0., 1.]], dtype=float32)

    References:
        Liu, Lin, Padhy, Tran, Bedrax-Weiss, Lakshminarayanan (2020), "Simple and principled
        uncertainty estimation with deterministic deep learning via distance awareness",
        NeurIPS, equation 9 and algorithm 1; Rasmussen and Williams (2006), "Gaussian processes
        for machine learning", section 3.5, for the joint matrix.

    Note:
        With momentum, Liu et al. average the means over minibatches, which gives the precision
        of one row; here it is that of $N$ rows.
    """

    information: Float[Array, "*blocks size size"]
    num_updates: Float[Array, ""]
    num_outputs: int = setting(check=_checks.size, default=1)
    likelihood: Literal["gaussian", "bernoulli", "poisson", "categorical"] = setting(
        check=_checks.choice(*LIKELIHOODS), default="gaussian"
    )
    noise_scale: float = setting(check=_checks.positive, default=1.0)
    ridge_penalty: float = setting(check=_checks.positive, default=1.0)
    momentum: float | None = setting(check=_checks.optional(_checks.rate), default=None)
    num_rows: int | None = setting(check=_checks.optional(_checks.size), default=None)
    use_joint: bool = setting(check=_checks.switch, default=False)

    def __check_init__(self) -> None:
        if self.momentum is not None and self.num_rows is None:
            raise ValueError(
                "`num_rows` must be given with `momentum`: the average estimates the sum "
                "over all rows."
            )
        if self.use_joint and self.likelihood != "categorical":
            raise ValueError(
                f"`use_joint` is for the likelihood 'categorical', got {self.likelihood!r}: "
                "for other likelihoods, outputs are independent given the weights."
            )

    @classmethod
    def init(
        cls,
        num_features: int,
        num_outputs: int = 1,
        *,
        likelihood: Literal["gaussian", "bernoulli", "poisson", "categorical"] = "gaussian",
        noise_scale: float = 1.0,
        ridge_penalty: float = 1.0,
        momentum: float | None = None,
        num_rows: int | None = None,
        use_joint: bool = False,
    ) -> "LaplaceRandomFeatureCovariance":
        """The covariance before any data, which is that of the prior.

        Args:
            num_features: Number of features.
            num_outputs: Number of outputs, or of classes.
            likelihood: See the class.
            noise_scale: See the class.
            ridge_penalty: See the class.
            momentum: See the class.
            num_rows: See the class.
            use_joint: See the class.
        """
        size = _checks.size("num_features", num_features)
        outputs = _checks.size("num_outputs", num_outputs)
        use_joint = _checks.switch("use_joint", use_joint)
        blocks: tuple[int, ...] = (outputs,)
        if likelihood == "gaussian":
            blocks = ()
        elif use_joint:
            blocks, size = (), size * outputs
        return cls(
            jnp.zeros((*blocks, size, size)),
            jnp.zeros(()),
            outputs,
            likelihood,
            noise_scale,
            ridge_penalty,
            momentum,
            num_rows,
            use_joint,
        )

    @property
    def num_features(self) -> int:
        """Number of features per row."""
        size = self.information.shape[-1]
        return size // self.num_outputs if self.use_joint else size

    def reset(self) -> "LaplaceRandomFeatureCovariance":
        """Return the object without any data, for the next pass over the data."""
        zeros = (jnp.zeros_like(self.information), jnp.zeros_like(self.num_updates))
        return self._with(*zeros)

    def update(
        self,
        features: Num[ArrayLike, "*batch size"],
        logits: Num[ArrayLike, "*batch outputs"] | None = None,
        weights: Num[ArrayLike, "*batch"] | None = None,
    ) -> "LaplaceRandomFeatureCovariance":
        """Return the covariance after another minibatch.

        Args:
            features: The features of the rows, (n, features).
            logits: Outputs of the layer for these rows, (n, outputs): log odds, log rates, or
                unnormalized log probabilities. Not used if the likelihood is gaussian.
            weights: Weight of each row, (n,): zero for padding rows of a minibatch.

        Raises:
            ValueError: If the shapes do not match, or if the logits are missing.
        """
        features = jnp.asarray(features)
        _checks.last_axis("features", features, "num_features", self.num_features)
        curvature = self._curvature(features, logits)
        phi = features.reshape(-1, features.shape[-1])
        count = len(phi)
        if weights is not None:
            weights = jnp.broadcast_to(jnp.asarray(weights), features.shape[:-1]).reshape(
                -1
            )
            curvature = curvature * weights.reshape((-1,) + (1,) * (curvature.ndim - 1))
            count = jnp.sum(weights)
        batch = jnp.einsum("n...,ni,nj->...ij", curvature, phi, phi)
        if self.use_joint:  # from (outputs, outputs, features, features)
            batch = jnp.swapaxes(batch, 1, 2).reshape(self.information.shape)
        if self.momentum is not None and self.num_rows is not None:
            old, new = self.momentum, (1.0 - self.momentum) * self.num_rows / count
            return self._with(old * self.information + new * batch, self.num_updates + 1.0)
        return self._with(self.information + batch, self.num_updates + 1.0)

    @property
    def precision(self) -> Float[Array, "*blocks size size"]:
        r"""The matrices $\Lambda$."""
        information = self.information
        if self.momentum is not None:
            seen = 1.0 - self.momentum**self.num_updates
            information = information / jnp.where(self.num_updates > 0, seen, 1.0)
        return information + self.ridge_penalty * jnp.eye(
            information.shape[-1], dtype=information.dtype
        )

    def covariance(self) -> Float[Array, "*blocks size size"]:
        r"""The matrices $\Lambda^{-1}$: one, or one for each output.

        With `use_joint` it is one for all weights, those of the first output first.
        """
        root = jnp.linalg.cholesky(self.precision)
        eye = jnp.eye(root.shape[-1], dtype=root.dtype)
        return cho_solve((root, True), jnp.broadcast_to(eye, root.shape))

    def __call__(self, features: Num[ArrayLike, "*batch size"]) -> Float[Array, "*batch _"]:
        """The same as `variance`."""
        return self.variance(features)

    def variance(self, features: Num[ArrayLike, "*batch size"]) -> Float[Array, "*batch _"]:
        """The variance of each output at the rows: (n, outputs), or (n, 1) if it is shared.

        Args:
            features: The features of the rows, (n, features).
        """
        features = jnp.asarray(features)
        if self.use_joint:
            joint = self.output_covariance(features)
            return jnp.diagonal(joint, axis1=-2, axis2=-1)
        _checks.last_axis("features", features, "num_features", self.num_features)
        root = jnp.linalg.cholesky(self.precision)
        phi = features.reshape(-1, features.shape[-1]).T
        phi = jnp.broadcast_to(phi, root.shape[:-2] + phi.shape)
        solved = solve_triangular(root, phi, lower=True)
        found = jnp.sum(jnp.square(solved), -2).reshape((-1,) + features.shape[:-1])
        return jnp.moveaxis(found, 0, -1)

    def output_covariance(
        self, features: Num[ArrayLike, "*batch size"]
    ) -> Float[Array, "*batch outputs outputs"]:
        """The covariance of the outputs of each row, with `use_joint`.

        Args:
            features: The features of the rows, (n, features).

        Raises:
            ValueError: If the outputs have no joint matrix.
        """
        if not self.use_joint:
            raise ValueError(
                "`use_joint` must be True for a covariance between outputs: without it they "
                "are taken for independent, each with its `variance`."
            )
        features = jnp.asarray(features)
        _checks.last_axis("features", features, "num_features", self.num_features)
        blocks = self.covariance().reshape((self.num_outputs, self.num_features) * 2)
        return jnp.einsum("...i,kilj,...j->...kl", features, blocks, features)

    def _with(self, *arrays: Array) -> "LaplaceRandomFeatureCovariance":
        return eqx.tree_at(lambda c: (c.information, c.num_updates), self, arrays)

    def _curvature(self, features: Array, logits: ArrayLike | None) -> Array:
        """(n,), (n, outputs) or (n, outputs, outputs)."""
        if self.likelihood == "gaussian":
            return jnp.full(features[..., 0].size, self.noise_scale**-2, features.dtype)
        if logits is None:
            raise ValueError(
                f"`logits` must be given for the likelihood {self.likelihood!r}: its curvature "
                "depends on them."
            )
        logits, outputs = jnp.asarray(logits), self.num_outputs
        expected = (*features.shape[:-1], outputs)
        if logits.shape != expected:
            raise ValueError(
                f"`logits` must have shape {expected}, one for each row of `features` and each "
                f"output, got {logits.shape}."
            )
        logits = logits.reshape(-1, outputs)
        if self.likelihood == "poisson":
            return jnp.exp(logits)
        if self.likelihood == "bernoulli":
            return jax.nn.sigmoid(logits) * jax.nn.sigmoid(-logits)
        p = jax.nn.softmax(logits, -1)
        if self.use_joint:
            return p[:, :, None] * (jnp.eye(outputs, dtype=p.dtype) - p[:, None, :])
        return p * (1.0 - p)
