"""Fourier features with learned frequencies."""

from collections.abc import Callable
from typing import Any

from numpyro.infer import init_to_sample
from numpyro.infer.autoguide import AutoNormal

from ._fourier import AbstractPairedFeatures, AbstractRBFSpectrum


class VariationalFourierFeatures(AbstractPairedFeatures, AbstractRBFSpectrum):
    r"""Cosines and sines with a learned posterior over the frequencies.

    $$\phi(x) = M^{-1/2}\,[\cos(x W / \ell),\ \sin(x W / \ell)], \qquad
    W_{ij} \sim N(0, 1),\quad \ell \sim \text{LogNormal}(\log \ell_0, 1)$$

    The model is the same as that of `RBFFourierFeatures`, but the use differs. There, many
    frequencies approximate a kernel and their posterior is close to the prior; here, a few
    frequencies adapt to the data, with the guide of `default_guide`: a factorized normal whose
    means start at a prior draw. A guide initialized at zero would give all frequencies the same
    value, where the sines have identical gradients.

    Args:
        in_features: Size of the last axis of the input.
        n_features: Number of frequencies $M$.
        init_lengthscale: Median of the lengthscale's prior, positive, in the units of the
            input; shape (in,) gives one for each input. In `init` this argument is
            `lengthscale`.
        name: Prefix of the sites; the default is ``"variational_fourier_features"``.

    Sites:
        ``W`` of event shape (in, M); ``lengthscale`` of event shape (), or (in,) if
        `init_lengthscale` has that shape.

    Raises:
        ValueError: If a size or a lengthscale is not positive, if there are not as many
            lengthscales as inputs, or if the input's last axis is not `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, optax
        >>> from numpyro.infer import SVI, Trace_ELBO
        >>> from numpyro_bayeslayers.layers import RandomKitchenSinks
        >>> features = VariationalFourierFeatures.init(1, 8, name="phi")
        >>> def model(x, y=None):
        ...     f = RandomKitchenSinks.init(features, 1, name="f")(x)[..., 0]
        ...     numpyro.sample("y", dist.Normal(f, 0.1).to_event(1), obs=y)
        >>> guide = VariationalFourierFeatures.default_guide(model)
        >>> svi = SVI(model, guide, optax.adam(1e-2), Trace_ELBO())

    References:
        Gal and Turner (2015), "Improving the Gaussian process sparse spectrum approximation
        by representing uncertainty in frequency inputs", ICML, section 4.
    """

    @staticmethod
    def default_guide(model: Callable[..., Any], **kwargs: Any) -> AutoNormal:
        """A factorized normal guide for the whole `model`, initialized at a prior draw.

        Args:
            model: The NumPyro model that the layer is used in.
            kwargs: Passed to `numpyro.infer.autoguide.AutoNormal`.
        """
        return AutoNormal(model, init_loc_fn=init_to_sample, **kwargs)
