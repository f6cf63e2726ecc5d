"""What all methods predict, as pictures."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from methods_tables import by_angle, loaded
from methods_tasks import ANGLES, curve
from tables import DOCS

#: The first method of each kind, and the kind's colour.
KINDS = {
    "one mode": ("one mode", "#333333"),
    "deep ensemble": ("explicit ensembles", "#1f4e8c"),
    "batch ensemble": ("implicit ensembles", "#2a9d8f"),
    "dropout": ("dropout and heads", "#c77c02"),
    "`Laplace`": ("around a mode", "#8a4fbf"),
    "mean-field: ": ("variational", "#c0392b"),
    "Langevin": ("samplers", "#6b8e23"),
}


def short(name):
    """The words before the call, or the call."""
    return name.split(": ")[0].replace("`", "")


def kinds_of(names):
    """The kind of each method, and its colour."""
    now, found = ("", ""), {}
    for name in names:
        now = next((kind for start, kind in KINDS.items() if name.startswith(start)), now)
        found[name] = now
    return found


def grid_of(count, each=(1.9, 1.75), columns=6):
    figure = Figure(
        figsize=(columns * each[0], -(-count // columns) * each[1]), layout="constrained"
    )
    axes = figure.subplots(-(-count // columns), columns, sharex=True, sharey=True).ravel()
    for axis in axes[count:]:
        axis.axis("off")
    return figure, axes


def save(figure, name):
    path = DOCS / "pictures" / f"methods_{name}.png"
    figure.set_dpi(90)
    FigureCanvasAgg(figure).print_png(path)
    print(path)


def of_moons(task, found):
    figure, axes = grid_of(len(found))
    inside = task.parts["grid"]
    x, y = task.rows[inside].reshape(49, 49, 2).transpose(2, 0, 1)
    shown = None
    for axis, (name, one) in zip(axes, found.items(), strict=False):
        p = one["p"][inside][:, 1].reshape(49, 49)
        shown = axis.contourf(x, y, p, np.linspace(0, 1, 21), cmap="RdBu_r")
        for label, color in enumerate(("#10315c", "#6b1010")):
            axis.plot(*task.x[task.y == label].T, ".", ms=1.5, color=color)
        axis.set_title(short(name), fontsize=8)
        axis.set(xticks=(), yticks=())
    figure.colorbar(shown, ax=list(axes), ticks=(0, 0.5, 1), shrink=0.5, label="P(red)")
    figure.supxlabel("first input", fontsize=9)
    figure.supylabel("second input", fontsize=9)
    save(figure, "moons")


def of_line(task, found):
    figure, axes = grid_of(len(found))
    inside = task.parts["grid"]
    x = task.rows[inside][:, 0]
    for axis, (name, one) in zip(axes, found.items(), strict=False):
        low, high = one["interval"][:, inside]
        axis.fill_between(x, low, high, color="#b7c9e2", lw=0)
        axis.plot(x, one["mean"][inside], color="#1f4e8c", lw=1.2)
        axis.plot(x, curve(x), color="#c0392b", lw=0.9, ls="--")
        axis.plot(task.x[:, 0], task.y, ".", ms=2, color="black")
        axis.set_title(short(name), fontsize=8)
        axis.set(ylim=(-3, 3), xticks=(-2, 0, 2), yticks=(-2, 0, 2))
        axis.tick_params(labelsize=7)
    figure.supxlabel("x", fontsize=9)
    figure.supylabel("y: data (dots), truth (dashed), mean and 90% interval", fontsize=9)
    save(figure, "line")


def of_digits(task, found, kinds):
    figure = Figure(figsize=(11.4, 4.0), layout="constrained")
    axes = figure.subplots(1, 3, sharex=True)
    texts = ("accuracy", "log score, nats a row", "expected calibration error")
    seen = set()
    for name, one in found.items():
        label, color = kinds[name]
        numbers = by_angle(task, one)
        for i, (axis, text) in enumerate(zip(axes, texts, strict=True)):
            style = {"lw": 2.5} if label == "one mode" else {"lw": 1.2, "alpha": 0.8}
            once = label if i == 0 and label not in seen else None
            axis.plot(ANGLES, numbers[:, i], color=color, label=once, **style)
            axis.set(xlabel="turned by, degrees", title=text, xticks=ANGLES)
        seen.add(label)
    figure.legend(loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    save(figure, "digits")


def draw_pictures(tasks, names, path_of):
    """Write all of them."""
    for kind in tasks:
        each = {name: loaded(path_of(kind, name)) for name in names}
        found = {name: one for name, one in each.items() if one is not None}
        if not found:
            continue
        if kind == "digits":
            of_digits(tasks[kind], found, kinds_of(names))
        else:
            (of_moons if kind == "moons" else of_line)(tasks[kind], found)
