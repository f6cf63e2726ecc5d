"""Random features of the squared exponential kernel."""

from ._fourier import (
    AbstractPairedFeatures,
    AbstractPhasedFeatures,
    AbstractRBFSpectrum,
)


class RBFFourierFeatures(AbstractPairedFeatures, AbstractRBFSpectrum):
    r"""Cosines and sines that approximate the squared exponential kernel.

    $$\phi(x) = M^{-1/2}\,[\cos(x W / \ell),\ \sin(x W / \ell)], \qquad
    W_{ij} \sim N(0, 1),\quad \ell \sim \text{LogNormal}(\log \ell_0, 1)$$

    whose mean inner product is $\exp(-|x - x'|^2 / 2 \ell^2)$, exactly 1 on the
    diagonal.

    Args:
        in_features: Size of the last axis of the input.
        n_features: Number of frequencies $M$.
        init_lengthscale: Median of the lengthscale's prior, positive, in the units of the
            input; shape (in,) gives one for each input. In `init` this argument is
            `lengthscale`.
        name: Prefix of the sites; the default is ``"rbf_fourier_features"``.

    Sites:
        ``W`` of event shape (in, M); ``lengthscale`` of event shape (), or (in,) if
        `init_lengthscale` has that shape.

    Raises:
        ValueError: If a size or a lengthscale is not positive, if there are not as many
            lengthscales as inputs, or if the input's last axis is not `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = RBFFourierFeatures.init(3, 50, lengthscale=0.5, name="f")
        >>> seed(layer, 0)(jnp.ones((5, 3))).shape
        (5, 100)

    References:
        Rahimi and Recht (2007), "Random features for large-scale kernel machines", NeurIPS;
        Sutherland and Schneider (2015), "On the error of random Fourier features", UAI,
        section 1, which compares this map with random phases.
    """


class RBFCosineFeatures(AbstractPhasedFeatures, AbstractRBFSpectrum):
    r"""Cosines with random phases that approximate the squared exponential kernel.

    $$\phi(x) = (2/M)^{1/2} \cos(x W / \ell + b), \qquad b_j \sim U(0, 2\pi),\quad
    W_{ij} \sim N(0, 1),\quad \ell \sim \text{LogNormal}(\log \ell_0, 1)$$

    whose mean inner product is $\exp(-|x - x'|^2 / 2 \ell^2)$.

    Args:
        in_features: Size of the last axis of the input.
        n_features: Number of frequencies $M$.
        init_lengthscale: Median of the lengthscale's prior, positive, in the units of the
            input; shape (in,) gives one for each input. In `init` this argument is
            `lengthscale`.
        name: Prefix of the sites; the default is ``"rbf_cosine_features"``.

    Sites:
        ``W`` of event shape (in, M); ``b`` of event shape (M,); ``lengthscale`` of event
        shape (), or (in,) if `init_lengthscale` has that shape.

    Raises:
        ValueError: If a size or a lengthscale is not positive, if there are not as many
            lengthscales as inputs, or if the input's last axis is not `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = RBFCosineFeatures.init(3, 50, lengthscale=0.5, name="f")
        >>> seed(layer, 0)(jnp.ones((5, 3))).shape
        (5, 50)

    References:
        Rahimi and Recht (2007), "Random features for large-scale kernel machines", NeurIPS,
        algorithm 1.
    """
