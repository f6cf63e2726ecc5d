"""Data sets drawn from a model's prior, fitted in one program, and how often intervals hold."""

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from numpyro.handlers import seed, trace
from numpyro.infer import SVI, Predictive, Trace_ELBO, init_to_uniform
from numpyro.infer.autoguide import AutoMultivariateNormal
from numpyro.infer.util import initialize_model
from numpyro.optim import Adam

DOUBLINGS = 8  # of a step of NUTS, at most; all data sets wait for the slowest


def output(sites):
    """What intervals are of, unless it is said otherwise."""
    return sites["f"]


def prior_draws(model, sets, of=output):
    """The truths, and the observations, of as many data sets."""
    keys = jax.random.split(jax.random.key(1), sets)

    def draw(key):
        sites = trace(seed(model, key)).get_trace()
        values = {name: site["value"] for name, site in sites.items()}
        return of(values), values["y"]

    return jax.jit(jax.vmap(draw))(keys)


def by_nuts(model, ys, starts=3, steps=300, doublings=DOUBLINGS, of=output):
    """Posterior draws for each data set, (sets, draws, entries of `of`).

    The chain goes on from the warm-up with the highest log density. A layer that multiplies
    its sites can hold a warm-up far from all mass: of one data set, 40,000 below the others.
    """
    info = initialize_model(
        jax.random.key(0), model, model_args=(ys[0],), dynamic_args=True
    )

    def fit(key, y):
        log_density = lambda z: -info.potential_fn(y)(z)

        def warm_up(key):
            keys = jax.random.split(key)
            noise = lambda x: 0.3 * jax.random.normal(keys[0], x.shape)
            z = jax.tree.map(noise, info.param_info.z)
            tuned = blackjax.window_adaptation(
                blackjax.nuts, log_density, max_num_doublings=doublings
            )
            (state, settings), _ = tuned.run(keys[1], z, steps)
            return state, settings["step_size"], settings["inverse_mass_matrix"]

        keys = jax.random.split(key, steps + starts)
        warm = jax.vmap(warm_up)(keys[:starts])
        best = jnp.argmax(warm[0].logdensity)
        state, size, mass = jax.tree.map(lambda leaf: leaf[best], warm)
        kernel = blackjax.nuts(log_density, size, mass, max_num_doublings=doublings)

        def step(state, key):
            state, _ = kernel.step(key, state)
            return state, of(info.postprocess_fn(y)(state.position))

        return jax.lax.scan(step, state, keys[starts:])[1]

    return jax.jit(jax.vmap(fit))(jax.random.split(jax.random.key(2), len(ys)), ys)


def by_vi(model, ys, starts=5, steps=3000, rate=0.01, radius=2.0, of=output):
    """The same by a normal guide of full rank: the best of several starts, by its ELBO.

    Layers that multiply their sites have poor local modes; a fit that ends in one has a loss
    ten times the best one's, so the data tell without the truth. `radius` bounds the starts.
    """
    near = init_to_uniform(radius=radius)
    guide = AutoMultivariateNormal(model, init_loc_fn=near)
    svi = SVI(model, guide, Adam(rate), Trace_ELBO(num_particles=4))

    def start(key, y):
        state = svi.init(key, y)
        state, losses = jax.lax.scan(lambda s, _: svi.update(s, y), state, None, steps)
        return jnp.mean(losses[-500:]), svi.get_params(state)

    def fit(key, y):
        keys = jax.random.split(key, 1 + starts)
        losses, params = jax.vmap(start, (0, None))(keys[1:], y)
        best = jax.tree.map(lambda leaf: leaf[jnp.argmin(losses)], params)
        drawn = guide.sample_posterior(keys[0], best, sample_shape=(300,))
        predict = Predictive(model, posterior_samples=drawn, parallel=True)
        return jax.vmap(of)({**drawn, **predict(keys[0])})

    return jax.jit(jax.vmap(fit))(jax.random.split(jax.random.key(2), len(ys)), ys)


def coverage(draws, truth):
    """How often 80% intervals hold the truth; error of the mean over the prior's spread."""
    low, high = np.quantile(draws, [0.1, 0.9], axis=1)
    held = (low <= truth) & (truth <= high)
    error = np.sqrt(np.mean(np.square(np.mean(draws, 1) - truth)))
    return held.mean(), error
