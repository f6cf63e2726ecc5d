"""A result, a state and a checkpoint know what they are of, and are refused elsewhere."""

import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import RenyiELBO, Trace_ELBO
from numpyro.infer.autoguide import AutoDelta, AutoMultivariateNormal, AutoNormal

from numpyro_bayeslayers.infer import EnsembleResult, EnsembleSVI, EnsembleVI
from numpyro_bayeslayers.infer.compilation._fingerprint import settings_of

pytestmark = pytest.mark.usefixtures("as_users_run")

X = np.linspace(1, 2, 50)
Y = 7 * X
QUIET = {"progress_bar": False}


def model(x, y=None, sd=10.0):
    w = numpyro.sample("w", dist.Normal(0, sd))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(w * x, 0.1), obs=y)


def make(guide=AutoNormal, optim=None, num_members=2, loss=Trace_ELBO()):
    optim = optax.adam(0.05) if optim is None else optim
    return EnsembleSVI(model, guide, optim, loss, num_members)


@pytest.fixture(scope="module")
def fitted():
    ensemble = make()
    return ensemble, ensemble.run(0, 12, X, Y, batch_size=7, **QUIET)


def slope(ensemble, result):
    return ensemble.predict(1, result, X, num_samples=3)["y"]


def test_a_result_is_read_where_the_model_and_the_guide_are_the_same(fitted):
    """In another object, and in one that has run with fewer arguments since."""
    ensemble, result = fitted
    drawn = slope(ensemble, result)
    other = make(optim=optax.sgd(0.1))
    other.init(0, X, Y)
    other.init(0, X)  # y is latent there: not the program that reads the result
    np.testing.assert_array_equal(slope(other, result), drawn)


def test_a_result_of_a_model_with_other_sites_is_refused(fitted):
    other = make()
    other.init(0, X)
    with pytest.raises(
        ValueError, match=r"sites: `y` observed, here latent float32 \(50,\)"
    ):
        slope(other, fitted[1])
    with pytest.raises(ValueError, match="is of another model or guide"):
        other.to_arviz(fitted[1], X, Y)


def test_a_result_of_another_guide_is_refused(fitted):
    other = make(AutoMultivariateNormal)
    other.init(0, X, Y)
    with pytest.raises(ValueError, match="guide: AutoNormal, here AutoMultivariateNormal"):
        slope(other, fitted[1])
    unnamed = fitted[1]._replace(state=None)
    with pytest.raises(ValueError, match=r"`w_auto_loc` of shape \(\) is not here"):
        slope(other, unnamed)
    with pytest.raises(ValueError, match="`state` belongs to another run"):
        other.get_params(fitted[1].state)


def test_a_result_made_by_hand_is_read_if_its_parameters_fit(fitted):
    ensemble, result = fitted
    first = {name: x[:1] for name, x in result.params.items()}
    assert slope(ensemble, EnsembleResult(first, result.losses)).shape == (3, 1, 50)
    del first["w_auto_scale"]
    with pytest.raises(ValueError, match=r"`w_auto_scale` of shape \(\) is here only"):
        slope(ensemble, EnsembleResult(first, result.losses))


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (lambda: make(AutoDelta), "guide: AutoNormal, here AutoDelta"),
        (lambda: make(num_members=3), "members: 2, here 3"),
        (lambda: make(optim=optax.adam(1e-9)), "optimizer: `step_size` -0.05, here -1e-09"),
        (lambda: make(optim=numpyro.optim.Adam(0.05)), "optimizer: GradientTransformation"),
        (lambda: make(loss=Trace_ELBO(2)), "loss: `num_particles` 1, here 2"),
        (lambda: make(loss=RenyiELBO()), "loss: Trace_ELBO, here RenyiELBO"),
    ],
)
def test_a_run_goes_on_from_a_state_of_its_own(fitted, other, what):
    with pytest.raises(ValueError, match=what):
        other().run(0, 5, X, Y, batch_size=7, init_state=fitted[1].state, **QUIET)


def test_a_state_of_other_data_is_refused(fitted):
    ensemble, result = fitted
    asked = {"init_state": result.state, "batch_size": 7, **QUIET}
    with pytest.raises(ValueError, match="data: other values in `argument 1`"):
        ensemble.run(0, 5, X, 2 * Y, **asked)
    with pytest.raises(
        ValueError, match="data: other values in `argument 0`; data: other val"
    ):
        ensemble.run(0, 5, X[::-1].copy(), Y[::-1].copy(), **asked)
    with pytest.raises(
        ValueError, match=r"`argument 0` is float32 \(50,\), here float32 \(9,\)"
    ):
        ensemble.run(0, 5, X[:9], Y[:9], **asked)
    with pytest.raises(ValueError, match=r"priors: `w` Normal.*scale=10.*, here .*scale=3"):
        ensemble.run(0, 5, X, Y, sd=3.0, **asked)
    asked["init_state"] = result.state._replace(description=None)
    gone_on = ensemble.run(0, 5, X, 2 * Y, **asked)
    assert gone_on.losses.shape == (2, 5)


def test_a_state_without_a_description_fits_by_its_arrays(fitted):
    state = fitted[1].state._replace(description=None)
    with pytest.raises(ValueError, match="its arrays have different names or shapes"):
        make(AutoMultivariateNormal).run(0, 5, X, Y, init_state=state, **QUIET)


def test_updates_check_their_state(fitted):
    other = make(AutoMultivariateNormal)
    with pytest.raises(ValueError, match="guide: AutoNormal, here AutoMultivariateNormal"):
        other.update(fitted[1].state, X, Y)
    with pytest.raises(ValueError, match="`init_state` belongs to another run"):
        other.run_batches(0, [(X, Y)], num_rows=50, init_state=fitted[1].state, **QUIET)


def test_going_on_is_going_on(fitted):
    """5 and 7 steps in minibatches are 12, bitwise, whatever key the second run is given."""
    ensemble, whole = fitted
    first = ensemble.run(0, 5, X, Y, batch_size=7, **QUIET)
    second = ensemble.run(99, 7, X, Y, batch_size=7, init_state=first.state, **QUIET)
    for name, value in whole.params.items():
        np.testing.assert_array_equal(second.params[name], value)
    losses = np.concatenate([first.losses, second.losses], axis=1)
    np.testing.assert_array_equal(losses, whole.losses)


def test_ten_steps_at_a_time_see_all_rows():
    """The mean of y in steps of one row each: those never seen would be missing from it."""

    def mean(x, y=None):
        m = numpyro.sample("m", dist.Normal(0, 100))
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Normal(m, 1.0), obs=y)

    y = np.arange(8.0)
    # The loss of one row tells which it was: the guide hardly moves.
    ensemble = EnsembleSVI(mean, AutoDelta, optax.sgd(1e-9), num_members=1)
    asked = {"batch_size": 1, **QUIET}
    result = ensemble.run(0, 2, y, y, **asked)
    losses = [result.losses]
    for _ in range(3):
        result = ensemble.run(0, 2, y, y, init_state=result.state, **asked)
        losses.append(result.losses)
    assert len(np.unique(np.concatenate(losses, axis=1).round(2))) == 8


def test_ensembles_with_a_weight_go_on_too():
    make = lambda weight: EnsembleVI(
        model, AutoNormal, optax.adam(0.05), 2, kl_weight=weight
    )
    result = make(0.5).run(0, 3, X, Y, **QUIET)
    with pytest.raises(ValueError, match=r"loss: `beta` 0\.5, here 0\.7"):
        make(0.7).run(0, 3, X, Y, init_state=result.state, **QUIET)


def test_settings_are_found_in_closures():
    """The numbers of optimizers of optax, of schedules in them, and the code of lambdas."""
    make = lambda rate: optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))
    found = settings_of(make(optax.cosine_decay_schedule(0.1, 100)))
    assert {"10.0", "0.1", "100", "0.999"} <= set(found.values())
    assert settings_of(make(0.1)) == settings_of(make(0.1))
    one, two = settings_of(make(lambda i: 0.1)), settings_of(make(lambda i: 0.2))
    assert one != two
