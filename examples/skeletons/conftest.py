"""The settings and fixtures of `tests`, for the skeletons too."""

from tests.conftest import (
    as_users_run as as_users_run,
    pytest_runtest_teardown as pytest_runtest_teardown,
)
