"""The figures of all methods, as tables."""

import numpy as np
from methods_tasks import ANGLES
from tables import keep

from numpyro_bayeslayers.metrics import expected_calibration_error

SHOWN = (0, 30, 60)


def loaded(path):
    """What a method has found; None if it has not been run."""
    if not path.exists():
        return None
    with np.load(path) as file:
        return dict(file)


def of_classes(p, y):
    """Accuracy, mean log probability of the labels, and expected calibration error."""
    chosen = np.maximum(p[np.arange(len(y)), y], 1e-30)
    right = (p.argmax(1) == y).mean()
    return (
        right,
        np.log(chosen).mean(),
        float(expected_calibration_error(y, p, num_bins=15)),
    )


def of_moons(task, found):
    """In the data by labels; far from it, labels are a fair coin's: the mean over both."""
    p, at = found["p"].astype(float), task.parts
    _, inside, gap = of_classes(p[at["in"]], task.labels[at["in"]])
    far = p[at["out"]]
    outside = np.log(np.maximum(far, 1e-30)).mean()
    return inside, outside, gap, np.abs(far.max(1) - 0.5).mean()


def of_line(task, found):
    """In the data, in the gap and beyond the ends: log scores, and coverage of intervals."""
    low, high = found["interval"]
    covered = (task.labels >= low) & (task.labels <= high)
    is_in, is_out = (np.zeros(len(low), bool) for _ in range(2))
    is_in[task.parts["in"]], is_out[task.parts["out"]] = True, True
    is_gap = is_out & (abs(task.rows[:, 0]) < 1)
    parts = is_in, is_gap, is_out & ~is_gap
    return [x[of].mean() for x in (found["log_density"], covered) for of in parts]


def by_angle(task, found):
    """Accuracy, log score and calibration error for each angle."""
    p = found["p"].astype(float)
    p = p / p.sum(1, keepdims=True)
    parts = (task.parts[angle] for angle in ANGLES)
    return np.array([of_classes(p[at], task.labels[at]) for at in parts])


def seconds(value):
    return f"{float(value):.1f}"


def keep_tables(tasks, names, path_of):
    """Write both."""
    rows, turned = [], []
    for name in names:
        moons, line = (loaded(path_of(kind, name)) for kind in ("moons", "line"))
        if moons is not None and line is not None:
            a, b = of_moons(tasks["moons"], moons), of_line(tasks["line"], line)
            shown = [f"{x:.2f}" for x in a[:2]] + [f"{x:.3f}" for x in a[2:]]
            shown += [f"{x:.2f}" for x in b[:3]] + [f"{100 * x:.0f}%" for x in b[3:]]
            spent = seconds(line["first"]), seconds(line["again"])
            rows.append((name, *shown, *spent, f"{int(line['size']):,}"))
        if (digits := loaded(path_of("digits", name))) is not None:
            found = by_angle(tasks["digits"], digits)
            each = [found[ANGLES.index(angle)] for angle in SHOWN]
            right = [f"{100 * x[0]:.1f}%" for x in each]
            rest = [
                f"{x[i]:.2f}" if i == 1 else f"{x[i]:.3f}" for i in (1, 2) for x in each
            ]
            spent = seconds(digits["first"]), seconds(digits["again"])
            turned.append((name, *right, *rest, *spent, f"{int(digits['size']):,}"))
    header = ("Method", "Moons: log score, in", "out", "ECE, in", "Excess, out")
    header += ("Curve: log score, in", "gap", "beyond", "90% covers, in", "gap", "beyond")
    keep("methods", (*header, "CPU s", "again", "Numbers"), rows)
    header = (
        "Method",
        *(f"{a}: accuracy" for a in SHOWN),
        *(f"{a}: log score" for a in SHOWN),
    )
    header = tuple(h.replace(":", "°:") for h in header) + tuple(
        f"{a}°: ECE" for a in SHOWN
    )
    keep("methods_digits", (*header, "CPU s", "again", "Numbers"), turned)
