"""One Markov chain for each member."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpyro.infer import MCMC
from numpyro.infer.mcmc import MCMCKernel

from .. import _checks
from ._ensemble import EnsembleResult
from ._inputs import Seed, as_key


class EnsembleMCMCResult(NamedTuple):
    """Draws of all chains.

    Args:
        samples: Values by site name, (members, draws, *site).
        mcmc: The sampler, for its summary, its extra fields and `arviz.from_numpyro`.

    Example:
        >>> EnsembleMCMCResult(samples={}, mcmc=None).samples
        {}
    """

    samples: dict[str, Array]
    mcmc: MCMC | None


class EnsembleMCMC:
    """Any NumPyro kernel, one chain for each member of an ensemble.

    The chains run in one compiled program (``chain_method="vectorized"``), each with its own
    adaptation. Started from a fitted ensemble, each explores around its member.

    Args:
        kernel: A NumPyro kernel, ``NUTS(model)`` for one.
        num_warmup: Steps of adaptation of each chain, at least 1.
        num_samples: Draws of each chain, at least 1.
        num_members: The number of chains, at least 1.

    Raises:
        TypeError: If `kernel` is no NumPyro kernel.
        ValueError: If a number is below 1.

    Example:
        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist
        >>> from numpyro.infer import NUTS
        >>> def model(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> chains = EnsembleMCMC(NUTS(model), 5, 10, num_members=3)
        >>> chains.run(0, 1.0, progress_bar=False).samples["mean"].shape
        (3, 10)

    References:
        Hoffman and Gelman (2014), "The no-U-turn sampler", JMLR 15, for the usual kernel.
    """

    def __init__(
        self, kernel: MCMCKernel, num_warmup: int, num_samples: int, num_members: int
    ) -> None:
        _checks.instance("kernel", kernel, MCMCKernel, "a kernel of numpyro.infer")
        _checks.size("num_warmup", num_warmup)
        _checks.size("num_samples", num_samples)
        _checks.size("num_members", num_members)
        self.num_members = num_members
        self._mcmc = MCMC(
            kernel,
            num_warmup=num_warmup,
            num_samples=num_samples,
            num_chains=num_members,
            chain_method="vectorized",
        )

    def run(
        self,
        rng_key: Seed,
        *args: Any,
        init: EnsembleResult | dict[str, Array] | None = None,
        progress_bar: bool = True,
        **kwargs: Any,
    ) -> EnsembleMCMCResult:
        """Run all chains.

        Args:
            rng_key: A key or an integer.
            args: Arguments of the kernel's model.
            init: Where the chains start: unconstrained values by site name, arrays that lead
                with the members, or a fitted ensemble with such parameters (`EnsembleMAP` of
                `log_joint_of`). By default the kernel finds starts.
            progress_bar: Whether to show progress.
            kwargs: Keyword arguments of the kernel's model.

        Raises:
            TypeError: If `init` holds no dictionary of values by site name.
            ValueError: If an array of `init` does not lead with the members.
        """
        start = init.params if isinstance(init, EnsembleResult) else init
        if start is not None:
            _checks.instance("init", start, dict, "a dictionary of values by site name")
            for name, value in start.items():
                if jnp.shape(value)[:1] != (self.num_members,):
                    raise ValueError(
                        f"`init` must lead with the {self.num_members} members, got shape "
                        f"{jnp.shape(value)} for the site {name!r}."
                    )
            if self.num_members == 1:  # NumPyro's single chain has no such axis
                start = {name: value[0] for name, value in start.items()}
        self._mcmc.progress_bar = progress_bar
        self._mcmc.run(as_key(rng_key), *args, init_params=start, **kwargs)
        samples = self._mcmc.get_samples(group_by_chain=True)
        return EnsembleMCMCResult(jax.tree.map(jnp.asarray, samples), self._mcmc)
