"""Random features of Matern kernels."""

from ._fourier import (
    AbstractMaternSpectrum,
    AbstractPairedFeatures,
    AbstractPhasedFeatures,
)


class MaternFourierFeatures(AbstractPairedFeatures, AbstractMaternSpectrum):
    r"""Cosines and sines that approximate Matern kernels.

    $$\phi(x) = M^{-1/2}\,[\cos(x W / \ell),\ \sin(x W / \ell)], \qquad
    w_j \sim t_{2\nu}(0, I),\quad \ell \sim \text{LogNormal}(\log \ell_0, 1)$$

    where each column $w_j$ is one draw from a $D$-variate Student t distribution: all its
    coordinates share one chi-square variable, without which the kernel is not Matern in more
    than one dimension. The mean inner product is the Matern kernel of smoothness $\nu$, exactly
    1 on the diagonal.

    Args:
        in_features: Size of the last axis of the input.
        n_features: Number of frequencies $M$.
        init_lengthscale: Median of the lengthscale's prior, positive, in the units of the
            input; shape (in,) gives one for each input. In `init` this argument is
            `lengthscale`.
        nu: Smoothness $\nu$ of the kernel, positive; 1/2 is the exponential kernel, and
            the limit of infinity is the squared exponential kernel.
        name: Prefix of the sites; the default is ``"matern_fourier_features"``.

    Sites:
        ``W`` of event shape (in, M); ``lengthscale`` of event shape (), or (in,) if
        `init_lengthscale` has that shape.

    Raises:
        ValueError: If a size, `nu` or a lengthscale is not positive, if there are not as many
            lengthscales as inputs, or if the input's last axis is not `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = MaternFourierFeatures.init(3, 50, lengthscale=0.5, name="f")
        >>> seed(layer, 0)(jnp.ones((5, 3))).shape
        (5, 100)

    References:
        Rahimi and Recht (2007), "Random features for large-scale kernel machines", NeurIPS;
        Sutherland and Schneider (2015), "On the error of random Fourier features", UAI,
        section 1, which compares this map with random phases.
        Rasmussen and Williams (2006), "Gaussian processes for machine learning", equation
        4.15, for the spectral density.
    """


class MaternCosineFeatures(AbstractPhasedFeatures, AbstractMaternSpectrum):
    r"""Cosines with random phases that approximate Matern kernels.

    $$\phi(x) = (2/M)^{1/2} \cos(x W / \ell + b), \qquad b_j \sim U(0, 2\pi),\quad
    w_j \sim t_{2\nu}(0, I),\quad \ell \sim \text{LogNormal}(\log \ell_0, 1)$$

    where each column $w_j$ is one draw from a $D$-variate Student t distribution: all its
    coordinates share one chi-square variable, without which the kernel is not Matern in more
    than one dimension. The mean inner product is the Matern kernel of smoothness $\nu$.

    Args:
        in_features: Size of the last axis of the input.
        n_features: Number of frequencies $M$.
        init_lengthscale: Median of the lengthscale's prior, positive, in the units of the
            input; shape (in,) gives one for each input. In `init` this argument is
            `lengthscale`.
        nu: Smoothness $\nu$ of the kernel, positive; 1/2 is the exponential kernel, and
            the limit of infinity is the squared exponential kernel.
        name: Prefix of the sites; the default is ``"matern_cosine_features"``.

    Sites:
        ``W`` of event shape (in, M); ``b`` of event shape (M,); ``lengthscale`` of event
        shape (), or (in,) if `init_lengthscale` has that shape.

    Raises:
        ValueError: If a size, `nu` or a lengthscale is not positive, if there are not as many
            lengthscales as inputs, or if the input's last axis is not `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = MaternCosineFeatures.init(3, 50, lengthscale=0.5, name="f")
        >>> seed(layer, 0)(jnp.ones((5, 3))).shape
        (5, 50)

    References:
        Rahimi and Recht (2007), "Random features for large-scale kernel machines", NeurIPS,
        algorithm 1.
        Rasmussen and Williams (2006), "Gaussian processes for machine learning", equation
        4.15, for the spectral density.
    """
