"""A check that the columns of a formula are linearly independent."""

import numpy as np

# The smallest norm of a column's residual on the preceding columns, relative to its own norm.
_LEAST_SHARE = 1e-7


def check_independent(
    columns: list[tuple[str, str, np.ndarray]], has_intercept: bool
) -> None:
    """Check that no column is a linear combination of the preceding ones.

    Args:
        columns: The term, label and values of each column.
        has_intercept: Whether there is an intercept, a column of ones.

    Raises:
        ValueError: If a column is; the error names the columns that it is a combination of.
    """
    if not columns:
        return
    first = [("1", "the intercept", np.ones_like(columns[0][2]))] if has_intercept else []
    every = first + columns
    names = [title(term, label) for term, label, _ in every]
    if len(columns[0][2]) < len(every):
        return  # more columns than rows: the priors decide
    matrix = np.stack([values for *_, values in every], 1)
    lengths = np.linalg.norm(matrix, axis=0)
    for at in np.flatnonzero(lengths == 0):
        raise ValueError(
            f"The term `{every[at][0]}` has a column of zeros, {names[at]}: the data hold no "
            "information about its coefficient. Leave out the term or the combination of "
            "levels."
        )
    unit = matrix / lengths
    left = np.abs(np.diag(np.linalg.qr(unit)[1]))
    wrong = np.flatnonzero(left < _LEAST_SHARE)
    if not wrong.size:
        return
    at = int(wrong[0])
    weights = np.linalg.lstsq(unit[:, :at], unit[:, at], rcond=None)[0]
    made_of = [names[j] for j in np.flatnonzero(np.abs(weights) > 1e-6)]
    raise ValueError(
        f"The term `{every[at][0]}` is perfectly collinear: its column {names[at]} is a "
        f"combination of {' and '.join(made_of)}. Leave one of them out."
    )


def title(term: str, label: str) -> str:
    """The name of a column in errors."""
    return f"`{term}[{label}]`" if label not in (term, "the intercept") else f"`{label}`"
