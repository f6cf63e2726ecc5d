"""Whether 90% intervals hold 90% under the default priors of likelihoods' own parameters.

    python benchmarks/studies/link_priors.py [--only beta_link gamma_link] [--gates]

writes docs/tables/link_priors.md, or those of its lines that are asked for; with --gates only
docs/tables/gate_priors.md: several priors of the share of zeros. Data sets are drawn
with a known precision (or shape) and mean, and both are learned again: the posterior is computed
on a grid of the two, in double precision, for many data sets at once. The prior of the prediction
(the mean's log odds, its logarithm, ...) is N(0, 3). Beside the default prior of the parameter
stands Exponential(1).
"""

import argparse

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from link_families import ALL as FURTHER, LOG, ZeroInflated
from numpyro.handlers import seed, trace
from scipy.interpolate import CubicSpline
from scipy.special import betainc, digamma, expit, gammaln, logit, logsumexp
from tables import keep, kept

from numpyro_bayeslayers import layers

# Between the grid's parameters, and the distances from the predictor's mode in deviations.
FINE = np.linspace(-5.0, 14.0, 3000)
Z = np.linspace(-6.0, 6.0, 33)
NEWTON, DRAWS, NEW, CHUNK = 10, 100, 5, 50


class Beta:
    """Proportions of log odds 0.5."""

    name, link, site = "beta_link", layers.beta_link, "obs.precision"
    eta, truths = 0.5, (1, 10, 100, 1000, 10000)

    @classmethod
    def draw(cls, rng, phi, shape):
        mean = expit(cls.eta)
        y = rng.beta(mean * phi, (1 - mean) * phi, shape)
        return np.clip(y, 1e-300, 1 - 1e-16)  # where it rounds to an end

    def __init__(self, y):
        self.rows = y.shape[1]
        self.start = logit(np.clip(y.mean(1), 0.01, 0.99))
        self.sums = [np.log(x).sum(1)[:, None] for x in (y, 1 - y)]

    def density(self, eta, phi):
        """Of all rows, for predictors (sets, parameters, z)."""
        mean, rest = expit(eta), expit(-eta)
        one, other = (x[..., None] for x in self.sums)
        constant = gammaln(phi) - gammaln(mean * phi) - gammaln(rest * phi)
        return self.rows * constant + phi * (mean * one + rest * other)

    def slope(self, eta, phi):
        """By the predictor (sets, parameters), and about how it bends."""
        mean, rest = expit(eta), expit(-eta)
        bend = sum(1 / x + 0.5 / x**2 for x in (mean * phi, rest * phi))
        middle = self.rows * (digamma(mean * phi) - digamma(rest * phi))
        slope = self.sums[0] - self.sums[1] - middle
        part = mean * rest * phi
        return part * slope, self.rows * part**2 * bend

    @staticmethod
    def below(y, eta, phi, share):
        return betainc(expit(eta) * phi, expit(-eta) * phi, y)


class NegativeBinomial:
    """Counts of mean 10."""

    name, link = "negative_binomial_link", layers.negative_binomial_link
    site = "obs.concentration"
    eta, truths = np.log(10.0), (0.1, 1, 10, 100, 1000)

    @classmethod
    def draw(cls, rng, size, shape):
        return rng.poisson(rng.gamma(size, np.exp(cls.eta) / size, shape)).astype(float)

    def __init__(self, y):
        self.rows = y.shape[1]
        self.start = np.log(y.mean(1) + 0.1)
        self.total = y.sum(1)[:, None]
        size = np.exp(LOG)
        self.constant = (gammaln(y[..., None] + size) - gammaln(size)).sum(1)

    def density(self, eta, size):
        whole = np.logaddexp(np.log(size), eta)
        none = self.rows * size * (np.log(size) - whole)
        return self.constant[..., None] + none + self.total[..., None] * (eta - whole)

    def slope(self, eta, size):
        mean = np.exp(eta)
        part = size / (size + mean)
        return part * (self.total - self.rows * mean), self.rows * part * mean

    @staticmethod
    def below(y, eta, size, share):
        """Of a whole number, a random share of its own probability counts as below."""
        success = size / (size + np.exp(eta))
        upto = lambda k: np.where(k < 0, 0.0, betainc(size, np.maximum(k, 0) + 1, success))
        return share * upto(y) + (1 - share) * upto(y - 1)


def grid(family, y):
    """Predictors (sets, parameters, z), and the logarithm of the likelihood's mass there."""
    data, size = family(y), np.exp(LOG)
    start = data.start if data.start.ndim == 2 else data.start[:, None]
    eta = np.broadcast_to(start, (len(y), len(LOG))).copy()
    for _ in range(NEWTON):
        slope, bend = data.slope(eta, size)
        eta += np.clip((slope - eta / 9) / (bend + 1 / 9), -1.0, 1.0)
    scale = 1 / np.sqrt(data.slope(eta, size)[1] + 1 / 9)[..., None]
    etas = eta[..., None] + scale * Z
    return etas, data.density(etas, size[:, None]) - etas**2 / 18 + np.log(scale)


def probabilities(family, prior, etas, mass, truth, new, rng):
    """That less is true: of new observations, of their mean, of the parameter."""
    size = np.exp(LOG)
    logs = mass + (np.asarray(prior.log_prob(jnp.asarray(size)), float) + LOG)[:, None]
    logs -= logs.max((1, 2), keepdims=True)
    weights = np.exp(logs)
    weights /= weights.sum((1, 2), keepdims=True)
    middle = lambda w: np.cumsum(w, -1) - 0.5 * w
    of_parameter = weights.sum(2)
    # Between the grid's points the logarithm of its density is a cubic spline.
    density = np.exp(CubicSpline(LOG, logsumexp(logs, 2), axis=1)(FINE))
    density /= density.sum(1, keepdims=True)
    parameter = [np.interp(np.log(truth), FINE, w) for w in middle(density)]
    # In each line of the grid, linear between its points.
    before = middle(weights)
    place = (family.eta - etas[..., 0]) / (etas[..., 1] - etas[..., 0])
    at = np.clip(np.floor(place), 0, len(Z) - 2).astype(int)[..., None]
    ends = (np.take_along_axis(before, at + i, 2)[..., 0] for i in (0, 1))
    low, high = ends
    inside = low + np.clip(place - at[..., 0], 0, 1) * (high - low)
    whole = np.where(place < 0, 0.0, np.where(place > len(Z) - 1, of_parameter, inside))
    observation = np.empty(new.shape)
    for i, w in enumerate(weights):
        places = (np.arange(DRAWS) + rng.random()) / DRAWS
        chosen = np.searchsorted(np.cumsum(w.ravel()), places).clip(max=w.size - 1)
        drawn = etas[i].ravel()[chosen], size[chosen // len(Z)]
        share = rng.random((NEW, 1))
        observation[i] = family.below(new[i][:, None], *drawn, share).mean(1)
    return observation, whole.sum(1), np.asarray(parameter)


def coverage(family, priors, truth, rows, sets, rng):
    """For each prior, the shares of the three 90% intervals that hold the truth."""
    held = [[[], [], []] for _ in priors]
    for start in range(0, sets, CHUNK):
        count = min(CHUNK, sets - start)
        y = family.draw(rng, truth, (count, rows))
        new = family.draw(rng, truth, (count, NEW))
        etas, mass = grid(family, y)
        for prior, three in zip(priors, held, strict=True):
            found = probabilities(family, prior, etas, mass, truth, new, rng)
            for p, shares in zip(found, three, strict=True):
                shares.append((p > 0.05) & (p < 0.95))
    return [[float(np.concatenate(s).mean()) for s in three] for three in held]


def default_prior(family):
    """What the link draws its parameter from."""
    options = getattr(family, "options", {})
    prior = trace(seed(family.link, 0)).get_trace(jnp.zeros(3), **options)[family.site][
        "fn"
    ]
    return getattr(family, "prior_of", lambda prior: prior)(prior)


HEADER = (
    "Likelihood, its parameter, rows",
    "New observations",
    "Their mean",
    "The parameter",
    "New observations, Exponential(1)",
    "Their mean, Exponential(1)",
)


GATES = {
    "Beta(1, 10)": dist.Beta(1.0, 10.0),
    "Beta(1, 1)": dist.Beta(1.0, 1.0),
    "log odds N(-2, 2)": dist.TransformedDistribution(
        dist.Normal(-2.0, 2.0), dist.transforms.SigmoidTransform()
    ),
}


def gates(sets, rng):
    """Coverage of the share of zeros and of new observations, by the prior of the share."""
    priors = [ZeroInflated.prior_of(gate) for gate in GATES.values()]
    lines = []
    for rows in (20, 100):
        for odds in (0.01, 0.1, 1.0, 3.0):
            found = coverage(ZeroInflated, priors, odds, rows, sets, rng)
            shares = [f"{100 * each[k]:.1f}%" for k in (0, 2) for each in found]
            lines.append((f"odds {odds:g}, {rows}", *shares))
            print(*lines[-1], flush=True)
    words = "New observations", "The probability"
    header = [f"{word}, {gate}" for word in words for gate in GATES]
    keep("gate_priors", ("Odds of an excess zero, rows", *header), lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=2000, help="data sets a line")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="likelihoods; all if left out")
    parser.add_argument("--gates", action="store_true", help="priors of the share of zeros")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    if args.gates:
        gates(args.sets, rng)
        return
    lines = kept("link_priors")
    for family in (Beta, NegativeBinomial, *FURTHER):
        if args.only and family.name not in args.only:
            continue
        priors = default_prior(family), dist.Exponential(1.0)
        for rows in (20, 100):
            for truth in family.truths:
                ours, other = coverage(family, priors, truth, rows, args.sets, rng)
                shares = [f"{100 * share:.1f}%" for share in (*ours, *other[:2])]
                label = getattr(family, "label", "{:g}").format(truth)
                lines[f"`{family.name}`, {label}, {rows}"] = shares
                print(family.name, truth, rows, *shares, flush=True)
        keep("link_priors", HEADER, [(first, *rest) for first, rest in lines.items()])


if __name__ == "__main__":
    main()
