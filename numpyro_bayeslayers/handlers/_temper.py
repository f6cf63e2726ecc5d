"""Cold and warm posteriors."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array
from numpyro.primitives import Messenger

from .. import _checks, primitives
from .._typing import Message


class temper(Messenger):  # noqa: N801
    r"""Weight the latent terms of an objective by `beta`.

    If it is applied to both model and guide, the evidence lower bound becomes

    $$E_q \log p(y \mid \theta) - \beta\, \mathrm{KL}(q \,\|\, p)$$

    whose optimum over all $q$ is proportional to $p(\theta)\, p(y \mid \theta)^{1/\beta}$.
    Latent sample sites and the closed-form divergences of layers are weighted, data are not.
    Under MCMC the model's prior is weighted: $p(\theta)^\beta p(y \mid \theta)$. MCMC does not
    count steps: `infer.fit` with MCMC, `infer.EnsembleMCMC` and `log_joint_of` raise an error
    for a schedule, and under NumPyro's `MCMC` a schedule stays at its first value.

    Args:
        fn: The model or the guide. Temper both of them with the same `beta`.
        beta: A positive number, or a function of the number of updates so far (such as an optax
            schedule). Under NumPyro's `SVI`, the number is stored in the `SVIState`, which
            requires an objective that supports mutable sites, with one particle.

    Raises:
        ValueError: If `beta` is a number that is not positive.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist, optax
        >>> from numpyro.infer import SVI, Trace_ELBO
        >>> from numpyro.infer.autoguide import AutoNormal
        >>> def model(y):
        ...     theta = numpyro.sample("theta", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(theta, 1.0), obs=y)
        >>> beta = optax.linear_schedule(0.0, 1.0, 1000)
        >>> guide = temper(AutoNormal(model), beta)
        >>> svi = SVI(temper(model, beta), guide, optax.adam(1e-2), Trace_ELBO())
        >>> state = svi.init(jax.random.key(0), 1.0)

    References:
        Higgins et al. (2017), "beta-VAE", ICLR, equation 4; Wenzel et al. (2020), "How good
        is the Bayes posterior in deep neural networks really?", ICML, equation 2.
    """

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        beta: float | Array | Callable[[Array], Any] = 1.0,
    ) -> None:
        self.beta = beta if callable(beta) else _checks.positive("beta", beta)
        self._now: Any = None
        super().__init__(fn)

    def __enter__(self) -> None:
        self._now = None
        return super().__enter__()

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "sample":
            return
        if msg["is_observed"] and primitives.DIVERGENCE not in msg["infer"]:
            return
        if self._now is None:
            self._now = self.beta(primitives.step()) if callable(self.beta) else self.beta
        msg["scale"] = self._now if msg["scale"] is None else self._now * msg["scale"]
