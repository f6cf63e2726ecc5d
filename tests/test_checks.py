"""What the checks of arguments make of values, and what they refuse."""

from decimal import Decimal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_bayeslayers import _checks

pytestmark = pytest.mark.usefixtures("as_users_run")

MASKED = np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])


@pytest.mark.parametrize("kind", [int, np.int64, np.uint8, np.array, jnp.asarray])
def test_integers_are_pythons_own(kind):
    found = _checks.size("n", kind(3))
    assert (found, type(found)) == (3, int)


@pytest.mark.parametrize("kind", [float, np.float64, np.float16, np.array, jnp.bfloat16])
def test_numbers_are_pythons_own(kind):
    found = _checks.positive("s", kind(0.5))
    assert (found, type(found)) == (0.5, float)


@pytest.mark.parametrize("kind", [bool, np.bool_, np.array, jnp.asarray])
def test_switches_are_pythons_own(kind):
    assert _checks.switch("bias", kind(False)) is False


@pytest.mark.parametrize("check", [_checks.size, _checks.count])
def test_numbers_of_things_are_those_of_indices(check):
    """JAX gave an OverflowError from inside of a compiled program."""
    assert check("n", 2**31 - 1) == 2**31 - 1
    with pytest.raises(
        ValueError, match="`n` must be at most 2,147,483,647, got 2,147,483,648"
    ):
        check("n", 2**31)


@pytest.mark.parametrize(
    "value", [np.timedelta64(3, "D"), np.datetime64("2024-01-03"), np.ma.masked, True, 3.0]
)
def test_durations_and_others_are_no_integers(value):
    with pytest.raises(TypeError, match="`n` must be a positive integer"):
        _checks.size("n", value)


def test_masked_numbers_are_no_numbers():
    """As an array of one entry it would be the number behind the mask."""
    with pytest.raises(TypeError, match="`shift` must be a number, got masked"):
        _checks.finite("shift", np.ma.masked)


def test_values_inside_of_a_trace_pass():
    assert jax.jit(lambda s: 2.0 * _checks.positive("s", s))(-1.0) == -2.0


def test_options():
    assert _checks.one_of("nu", np.float32(1.5), (0.5, 1.5)) == 1.5
    for wrong in (True, np.array([1.0, 2.0]), 1j, None):
        with pytest.raises(ValueError, match="`order` must be one of"):
            _checks.one_of("order", wrong, (0, 1, 2))


def test_sequences():
    sizes = _checks.sequence(_checks.size)
    for given in ([2, 3], (2, 3), np.array([2, 3]), jnp.array([2, 3]), iter([2, 3])):
        assert sizes("n", given) == (2, 3)
    for wrong in (2, "23", np.array(2), None):
        with pytest.raises(TypeError, match="`n` must be a sequence"):
            sizes("n", wrong)
    with pytest.raises(TypeError, match="`n` must be a positive integer"):
        sizes("n", np.array([[2, 3]]))
    with pytest.raises(ValueError, match="`s` has 1 masked entries"):
        _checks.sequence(_checks.positive)("s", MASKED)


def test_one_or_several():
    scales = _checks.each(_checks.positive)
    assert scales("s", np.float64(2.0)) == 2.0
    assert scales("s", np.array([1.0, 2.0])) == (1.0, 2.0)
    with pytest.raises(ValueError, match="`s` must be positive and finite, got -1"):
        scales("s", [1.0, -1.0])
    with pytest.raises(TypeError, match="`s` must be a number, got 'a'"):
        scales("s", "a")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.array(["2024-01-01"], "M8[D]"), TypeError, r"real numbers, .* datetime64"),
        (np.array([1], "m8[D]"), TypeError, "real numbers"),
        ([1j], TypeError, "real numbers, got entries of type complex128"),
        (jnp.array([1j]), TypeError, "real numbers"),
        (["a"], TypeError, "real numbers"),
        ([None], TypeError, "real numbers"),
        (MASKED, ValueError, "has 1 masked entries"),
    ],
)
def test_what_is_not_real(values, error, message):
    with pytest.raises(error, match=f"`y` .*{message}"):
        _checks.reals("y", values)


def test_real_arrays():
    swapped = np.array([1.0, 2.0], ">f8")
    found = _checks.reals("y", swapped)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, [1.0, 2.0])
    unmasked = np.ma.array([1.0, 2.0], mask=False)
    np.testing.assert_array_equal(_checks.reals("y", unmasked), [1.0, 2.0])
    assert _checks.reals("y", jnp.ones(2, jnp.bfloat16)).dtype == jnp.bfloat16
    of_objects = np.array([1, 2.5, Decimal(3), True], object)
    np.testing.assert_array_equal(_checks.reals("y", of_objects), [1.0, 2.5, 3.0, 1.0])
    with pytest.raises(TypeError, match="`y` must hold real numbers"):
        _checks.reals("y", np.array([1, None], object))
    with pytest.raises(TypeError, match="`y` must hold real numbers"):
        _checks.reals("y", [10**400])


def test_scales_are_real():
    """NumPy orders complex numbers: 1j > 0 is true."""
    for wrong in (1j, np.array([1j]), "1", True):
        with pytest.raises(TypeError, match="`scale` must hold"):
            _checks.all_positive("scale", wrong)
