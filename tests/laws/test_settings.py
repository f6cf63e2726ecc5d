"""Settings of everything public: numbers in any type, switches that are, names that are."""

import equinox as eqx
import jax
import numpy as np
import pytest

from numpyro_bayeslayers import layers
from tests.cases import settings
from tests.cases.settings import MAKERS, as_numpy, constructors

pytestmark = pytest.mark.usefixtures("as_users_run")

CALLS = {**constructors(), **MAKERS}
# Either a switch or a number.
BOTH = {"centered"}


def picked(call, kinds):
    """The arguments of `call` whose values are of these kinds."""
    return {n: v for n, v in call.arguments.items() if type(v) in kinds and n not in BOTH}


def assert_same(one, other):
    """Equal modules, or results of functions; objects have no numbers of NumPy inside."""
    (arrays, structure), (others, expected) = map(jax.tree.flatten, (one, other))
    if isinstance(one, eqx.Module):
        assert structure == expected
        assert hash(structure) == hash(expected)
    for a, b in zip(arrays, others, strict=True):
        if eqx.is_array_like(a):
            np.testing.assert_array_equal(a, b)
    for value in vars(one).values() if hasattr(one, "__dict__") else ():
        if not isinstance(one, (eqx.Module, np.ndarray, jax.Array)):
            assert not isinstance(value, (np.generic, np.ndarray))


@pytest.mark.parametrize("name", CALLS)
def test_numbers_of_numpy_are_numbers(name):
    """Without a warning, which is an error here, and to an equal result."""
    call = CALLS[name]
    expected = call.make(**call.arguments)
    for setting, value in picked(call, (bool, int, float, str, tuple)).items():
        for given in as_numpy(value):
            found = call.with_setting(setting, given)
            if isinstance(given, np.float32):  # the number that it holds
                assert_same(found, call.with_setting(setting, float(given)))
            else:
                assert_same(found, expected)


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_number_is_refused_by_name(name):
    call = CALLS[name]
    for setting, value in picked(call, (int, float, tuple)).items():
        for wrong in settings.NO_NUMBERS:
            if isinstance(value, tuple):
                if not value or not isinstance(value[0], (int, float)):
                    continue
                wrong = (wrong, *value[1:])
            with pytest.raises((TypeError, ValueError), match=f"`?{setting}"):
                call.with_setting(setting, wrong)


@pytest.mark.parametrize("name", [n for n, c in CALLS.items() if picked(c, (bool,))])
def test_switches_are_true_or_false(name):
    call = CALLS[name]
    for setting in picked(call, (bool,)):
        for wrong in settings.NO_SWITCHES:
            with pytest.raises(TypeError, match=f"`{setting}` must be True or False"):
                call.with_setting(setting, wrong)


@pytest.mark.parametrize("name", [n for n, c in CALLS.items() if "name" in c.arguments])
def test_names_are_strings(name):
    for wrong in settings.NO_LABELS:
        with pytest.raises(TypeError, match="`name` must be a non-empty string"):
            CALLS[name].with_setting("name", wrong)


@pytest.mark.parametrize("name", [n for n, c in CALLS.items() if picked(c, (str,))])
def test_options_are_those_that_there_are(name):
    call = CALLS[name]
    for setting in picked(call, (str,)):
        for wrong in () if setting == "name" else (3j, "nonsense"):
            with pytest.raises((TypeError, ValueError), match=f"`{setting}` must be"):
                call.with_setting(setting, wrong)


def test_the_table_knows_the_settings_of_every_layer():
    """Each class of the tables of layers is called, and its fields are its arguments."""
    public = {**settings.LAYERS, **settings.MODULES}
    assert {getattr(layers, name).__name__ for name in public} <= set(CALLS)
