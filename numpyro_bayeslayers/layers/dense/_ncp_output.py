"""The contrastive term of a noise contrastive prior."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks
from ..._base import AbstractLayer
from ..._settings import setting
from ...primitives import divergence


class NCPNormalOutput(AbstractLayer):
    r"""Penalize outputs at perturbed inputs that differ from a wide normal.

    Each row adds to the log density the factor

    $$-\sum_j \mathrm{KL}\big(N(m_{nj}, s_{nj}^2) \,\|\, N(\mu, \sigma^2)\big)$$

    where $m, s$ are the network's mean and standard deviation at inputs perturbed by
    `NCPContinuousPerturb`. Call the network under `handlers.tie` on the clean inputs (for the
    likelihood) and on the perturbed ones (for this term). Inside a subsampling plate the factor
    is scaled like the likelihood.

    Args:
        prior_mean: Mean $\mu$ of the outputs away from the data.
        prior_std: Their standard deviation $\sigma$, positive.
        name: Prefix of the site; the default is ``"ncp_normal_output"``.

    The layer is called with (..., n, d), or with (n,) for one output.

    Sites:
        ``kl``, a factor with one value for each row; `handlers.temper` weights it.

    Returns:
        The sum of the divergences over rows and outputs, in nats, before any scaling.

    Raises:
        ValueError: If `prior_std` is not positive, or if the shapes of the arguments
            differ.

    Example:
        >>> import jax.numpy as jnp
        >>> kl = NCPNormalOutput(name="ncp")(jnp.ones((5, 1)), jnp.ones((5, 1)))
        >>> float(kl)
        2.5

    References:
        Hafner, Tran, Lillicrap, Irpan, Davidson (2019), "Noise contrastive priors for
        functional uncertainty", UAI, equation 7.
    """

    prior_mean: float = setting(check=_checks.finite, default=0.0)
    prior_std: float = setting(check=_checks.positive, default=1.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _forward(
        self,
        noisy_mean: Float[Array, "*rows_d"],
        noisy_std: Float[Array, "*rows_d"],
    ) -> Float[Array, ""]:
        if jnp.shape(noisy_mean) != jnp.shape(noisy_std):
            raise ValueError(
                f"`noisy_std` must have the shape of `noisy_mean`, {jnp.shape(noisy_mean)}, "
                f"got {jnp.shape(noisy_std)}."
            )
        noisy_std = _checks.array("noisy_std", noisy_std)
        noisy_mean = _checks.array("noisy_mean", noisy_mean)
        ratio = noisy_std / self.prior_std
        shift = (noisy_mean - self.prior_mean) / self.prior_std
        kl = 0.5 * (jnp.square(ratio) + jnp.square(shift) - 1.0) - jnp.log(ratio)
        rows = jnp.sum(kl, axis=-1) if kl.ndim > 1 else kl
        divergence("kl", rows)
        return jnp.sum(rows)
