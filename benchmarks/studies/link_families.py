"""Likelihoods of `link_priors.py` beside its first two, each by what its data sets tell.

A class draws data sets, sums them up, and gives the log density, its slope and its bend at
predictors (sets, parameters, ...). `below` is the probability of less than an observation.
"""

import numpy as np
from scipy.special import digamma, expit, gammainc, gammaln, i0e, i1e, log_ndtr, logit, ndtr
from scipy.stats import poisson, vonmises

from numpyro_bayeslayers import layers

#: Logarithms of the parameter.
LOG = np.linspace(-5.0, 14.0, 190)


class Gaussian:
    """Numbers of mean 0.5; the parameter is the precision."""

    name, link, site = "gaussian_link", layers.gaussian_link, "obs.sigma"
    eta, truths = 0.5, (1, 10, 100, 1000, 10000)

    class prior_of:  # noqa: N801
        """The prior of the precision, of one of the deviation."""

        def __init__(self, sigma):
            self.sigma = sigma

        def log_prob(self, phi):
            return self.sigma.log_prob(phi**-0.5) + np.log(0.5) - 1.5 * np.log(phi)

    @classmethod
    def draw(cls, rng, phi, shape):
        return rng.normal(cls.eta, phi**-0.5, shape)

    def __init__(self, y):
        self.rows = y.shape[1]
        self.start = y.mean(1)
        self.mean = self.start[:, None]
        self.square = self.rows * y.var(1)[:, None]

    def density(self, eta, phi):
        far = self.square[..., None] + self.rows * (eta - self.mean[..., None]) ** 2
        return 0.5 * (self.rows * np.log(phi) - phi * far)

    def slope(self, eta, phi):
        part = self.rows * phi * np.ones_like(eta)
        return part * (self.mean - eta), part

    @staticmethod
    def below(y, eta, phi, share):
        return ndtr((y - eta) * np.sqrt(phi))


class Gamma:
    """Positive numbers of mean e."""

    name, link, site = "gamma_link", layers.gamma_link, "obs.concentration"
    eta, truths = 1.0, (0.1, 1, 10, 100, 1000)

    @classmethod
    def draw(cls, rng, size, shape):
        return np.maximum(rng.gamma(size, np.exp(cls.eta) / size, shape), 1e-300)

    def __init__(self, y):
        self.rows = y.shape[1]
        self.start = np.log(y.mean(1))
        self.total = y.sum(1)[:, None]
        self.logs = np.log(y).sum(1)[:, None]

    def density(self, eta, size):
        constant = self.rows * (size * np.log(size) - gammaln(size))
        part = self.rows * eta + self.total[..., None] * np.exp(-eta) - self.logs[..., None]
        return constant - size * part

    def slope(self, eta, size):
        part = self.rows * size * np.ones_like(eta)
        return size * (self.total * np.exp(-eta) - self.rows), part

    @staticmethod
    def below(y, eta, size, share):
        return gammainc(size, size * y * np.exp(-eta))


class InverseGaussian:
    """Positive numbers of mean e."""

    name, link, site = "inverse_gaussian_link", layers.inverse_gaussian_link, "obs.shape"
    eta, truths = 1.0, (0.1, 1, 10, 100, 1000)

    @classmethod
    def draw(cls, rng, size, shape):
        return np.maximum(rng.wald(np.exp(cls.eta), size, shape), 1e-300)

    def __init__(self, y):
        self.rows = y.shape[1]
        self.start = np.log(y.mean(1))
        self.mean = y.mean(1)[:, None]
        self.least = (1 / y).sum(1)[:, None] - self.rows / self.mean

    def density(self, eta, size):
        mean = self.mean[..., None]
        far = self.rows / mean * np.expm1(np.log(mean) - eta) ** 2 + self.least[..., None]
        return 0.5 * (self.rows * np.log(size) - size * far)

    def slope(self, eta, size):
        part = self.rows * size * np.exp(-eta)
        return part * np.expm1(np.log(self.mean) - eta), part

    @staticmethod
    def below(y, eta, size, share):
        root, ratio = np.sqrt(size / y), y * np.exp(-eta)
        far = 2 * size * np.exp(-eta) + log_ndtr(-root * (ratio + 1))
        return np.clip(ndtr(root * (ratio - 1)) + np.exp(far), 0.0, 1.0)


class Weibull:
    """Waiting times of mean e."""

    name, link, site = "weibull_link", layers.weibull_link, "obs.concentration"
    eta, truths = 1.0, (0.3, 1, 10, 100, 1000)

    @classmethod
    def draw(cls, rng, k, shape):
        return np.maximum(
            np.exp(cls.eta - gammaln(1 + 1 / k)) * rng.weibull(k, shape), 1e-300
        )

    def __init__(self, y):
        k, self.rows = np.exp(LOG), y.shape[1]
        self.logs = np.log(y).sum(1)[:, None]
        # The logarithm of the mean of y^k, for each k.
        top = np.log(y).max(1)[:, None]
        powers = np.exp(k * (np.log(y) - top)[..., None])
        self.power = k * top + np.log(powers.mean(1))
        self.start = self.power / k + gammaln(1 + 1 / k)

    def density(self, eta, k):
        log_scale = eta - gammaln(1 + 1 / k)
        far = np.exp(np.minimum(self.power[..., None] - k * log_scale, 700.0))
        one = np.log(k) - k * log_scale - far
        return self.rows * one + (k - 1) * self.logs[..., None]

    def slope(self, eta, k):
        far = np.exp(np.minimum(self.power - k * (eta - gammaln(1 + 1 / k)), 50.0))
        part = self.rows * k**2 * np.ones_like(eta)
        return self.rows * k * (far - 1), part

    @staticmethod
    def below(y, eta, k, share):
        log_scale = eta - gammaln(1 + 1 / k)
        return -np.expm1(-np.exp(np.clip(k * (np.log(y) - log_scale), -700, 50)))


class VonMises:
    """Angles around one of 0.9, the tangent of whose half is the prediction."""

    name, link, site = "von_mises_link", layers.von_mises_link, "obs.concentration"
    eta, truths = np.tan(0.45), (1, 10, 100, 1000)

    @classmethod
    def draw(cls, rng, size, shape):
        return rng.vonmises(0.9, size, shape)

    def __init__(self, y):
        self.rows = y.shape[1]
        whole = np.exp(1j * y).sum(1)[:, None]
        self.length, self.angle = np.abs(whole), np.angle(whole)
        self.start = np.clip(np.tan(self.angle[:, 0] / 2), -20, 20)

    def density(self, eta, size):
        off = self.angle[..., None] - 2 * np.arctan(eta)
        # 1 - cos without its rounding.
        lost = self.length[..., None] * 2 * np.sin(off / 2) ** 2
        spread = self.rows - self.length[..., None]
        return -size * (lost + spread) - self.rows * np.log(i0e(size))

    def slope(self, eta, size):
        turn, off = 2 / (1 + eta**2), self.angle - 2 * np.arctan(eta)
        part = size * self.length * turn
        return part * np.sin(off), part * turn * np.maximum(i1e(size) / i0e(size), 1e-3)

    @classmethod
    def below(cls, y, eta, size, share):
        """From the angle that is opposite to the true one."""
        start, middle = 0.9 - np.pi, 2 * np.arctan(eta)
        upto = lambda x: vonmises.cdf(x - middle, size)
        return upto(start + (y - start) % (2 * np.pi)) - upto(start)


class BetaBinomial:
    """Successes of 20 trials, of log odds 0.5."""

    name, link, site = "beta_binomial_link", layers.beta_binomial_link, "obs.precision"
    eta, truths, trials = 0.5, (1, 10, 100, 1000, 10000), 20
    options = {"trials": 20}
    values = np.arange(21.0)

    @classmethod
    def draw(cls, rng, phi, shape):
        mean = expit(cls.eta)
        chance = rng.beta(mean * phi, (1 - mean) * phi, shape)
        return rng.binomial(cls.trials, chance).astype(float)

    def __init__(self, y):
        self.counts = (y[..., None] == self.values).sum(1)
        self.rows = y.shape[1]
        self.start = logit(np.clip(y.mean(1) / self.trials, 0.01, 0.99))

    def density(self, eta, phi):
        one, other = expit(eta) * phi, expit(-eta) * phi
        n, shape = self.trials, (-1,) + (1,) * (eta.ndim - 1)
        common = gammaln(phi) - gammaln(n + phi) - gammaln(one) - gammaln(other)
        out = self.rows * common
        for k in range(n + 1):
            times = self.counts[:, k].reshape(shape)
            out = out + times * (gammaln(k + one) + gammaln(n - k + other))
        return out

    def slope(self, eta, phi):
        mean, rest, n = expit(eta), expit(-eta), self.trials
        out = self.rows * (digamma(rest * phi) - digamma(mean * phi))
        for k in range(n + 1):
            each = digamma(k + mean * phi) - digamma(n - k + rest * phi)
            out = out + self.counts[:, k, None] * each
        part = mean * rest
        return part * phi * out, self.rows * n * part * (1 + phi) / (n + phi)

    @classmethod
    def below(cls, y, eta, phi, share):
        one, other, n = expit(eta) * phi, expit(-eta) * phi, cls.trials
        k = cls.values[:, None]
        choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        logs = gammaln(k + one) + gammaln(n - k + other) - gammaln(n + phi)
        each = np.exp(choose + logs + gammaln(phi) - gammaln(one) - gammaln(other))
        upto = np.concatenate([np.zeros_like(each[:1]), np.cumsum(each, 0)])
        at = y[:, 0].astype(int)
        return share * upto[at + 1] + (1 - share) * upto[at]


class ZeroInflated:
    """Poisson counts of mean 5 with more zeros; the parameter is the odds of these."""

    name, link, site = "zip_link", layers.zip_link, "obs.gate"
    eta, truths, label = np.log(5.0), (0.01, 0.1, 1.0), "odds {:g}"

    class prior_of:  # noqa: N801
        """The prior of the odds, of one of the probability."""

        def __init__(self, gate):
            self.gate = gate

        def log_prob(self, odds):
            return self.gate.log_prob(odds / (1 + odds)) - 2 * np.log1p(odds)

    @classmethod
    def draw(cls, rng, odds, shape):
        keeps = rng.random(shape) < 1 / (1 + odds)
        return np.where(keeps, rng.poisson(np.exp(cls.eta), shape), 0).astype(float)

    def __init__(self, y):
        self.zeros = (y == 0).sum(1)[:, None]
        self.some = y.shape[1] - self.zeros
        self.total = y.sum(1)[:, None]
        self.start = np.log(np.maximum(self.total, 0.5) / np.maximum(self.some, 1))[:, 0]

    def density(self, eta, odds):
        mean = np.exp(eta)
        zeros, some, total = (x[..., None] for x in (self.zeros, self.some, self.total))
        none = np.logaddexp(np.log(odds), -mean)
        everywhere = -(zeros + some) * np.log1p(odds)
        return everywhere + zeros * none + total * eta - some * mean

    def slope(self, eta, odds):
        mean = np.exp(eta)
        share = expit(-mean - np.log(odds))
        slope = self.total - self.some * mean - self.zeros * share * mean
        return slope, (self.some + 0.5) * mean

    @staticmethod
    def below(y, eta, odds, share):
        keeps, mean = 1 / (1 + odds), np.exp(eta)
        upto = lambda k: np.where(k < 0, 0.0, 1 - keeps + keeps * poisson.cdf(k, mean))
        return share * upto(y) + (1 - share) * upto(y - 1)


ALL = (Gaussian, Gamma, InverseGaussian, Weibull, VonMises, BetaBinomial, ZeroInflated)
