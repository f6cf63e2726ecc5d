"""What functions are, in words that are the same in every process."""

import pytest

from numpyro_bayeslayers.infer.training._fingerprint import settings_of


def of_code(constants):
    """A function whose code has these constants."""
    fn = lambda x: x
    fn.__code__ = fn.__code__.replace(co_consts=constants)
    return settings_of(fn)["code"]


def test_sets_in_code_have_no_order():
    """``x in {"a", "b"}``: the words' order is another one in each process."""
    one, other = frozenset([0, 8]), frozenset([8, 0])
    assert one == other and repr(one) != repr(other)
    assert of_code((None, one)) == of_code((None, other))


@pytest.mark.parametrize("constants", [(None, frozenset([0, 9])), (None, 1.0), (None,)])
def test_other_constants_are_other_code(constants):
    assert of_code(constants) != of_code((None, frozenset([0, 8])))
