"""One chart for each question, from the results of one run."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

OURS, OTHER, GOAL = "#1f4e8c", "#e08214", "#808080"
SIDES = {
    "first": ("here", "the other package"),
    "members": ("here", "NumPyro under vmap, by hand"),
    "rows": ("here", "by hand"),
    "draws": ("here", "the other package"),
}


def draw(question, rows, path):
    """Write the chart of `rows`, pairs of words and what was recorded."""
    figure = Figure(figsize=(7.2, max(3.4, 0.4 * len(rows))), layout="constrained")
    axis = figure.add_subplot()
    {
        "step": _ratios,
        "first": _seconds,
        "members": _growth,
        "rows": _rows,
        "draws": _draws,
    }[question.name](axis, rows)
    axis.spines[["top", "right"]].set_visible(False)
    FigureCanvasAgg(figure).print_png(path)


def _ratios(axis, rows):
    words, infos = zip(*rows, strict=True)
    for i, info in enumerate(infos):
        axis.plot(info["ratio_range"], [i, i], color=OURS, lw=1)
        axis.plot(info["ratio"], i, "o", color=OURS)
        axis.plot([info["goal"]] * 2, [i - 0.35, i + 0.35], color=GOAL, lw=1.5)
    axis.axvline(1.0, color=OTHER, lw=1, label="the other program")
    axis.plot([], [], color=GOAL, lw=1.5, label="goal")
    axis.set_yticks(range(len(words)), words)
    axis.invert_yaxis()
    axis.set(xlabel="time per step: here / the other program", ylabel="members")
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)


def _seconds(axis, rows):
    words, infos = zip(*rows, strict=True)
    whole = [i["seconds_per_step"] * i["steps"] for i in infos]
    other = [i["other_seconds_per_step"] * i["steps"] for i in infos]
    _pairs(axis, words, whole, other, SIDES["first"])
    axis.set(xlabel="seconds")


def _draws(axis, rows):
    words, infos = zip(*rows, strict=True)
    # A case gives the rates, or the seconds of one effective draw.
    rates = lambda who, key: [
        i.get(f"{who}_effective_draws_per_second") or 1 / i[key] for i in infos
    ]
    ours = rates("ours", "seconds_per_step")
    other = rates("peer", "other_seconds_per_step")
    _pairs(axis, words, ours, other, SIDES["draws"])
    axis.set(xlabel="effective sample size per second")


def _pairs(axis, words, ours, other, names):
    places = range(len(words))
    axis.barh([p - 0.2 for p in places], ours, 0.38, color=OURS, label=names[0])
    axis.barh([p + 0.2 for p in places], other, 0.38, color=OTHER, label=names[1])
    for place, value, shift in [
        *zip(places, ours, [-0.2] * len(ours), strict=True),
        *zip(places, other, [0.2] * len(other), strict=True),
    ]:
        text = f" {value:,.0f}" if value >= 1000 else f" {value:.3g}"
        axis.text(value, place + shift, text, va="center", fontsize=8)
    axis.set_yticks(places, words)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)


def _growth(axis, rows):
    members = [int(words) for words, _ in rows]
    _lines(axis, members, [info for _, info in rows], SIDES["members"], "-")
    axis.set(xlabel="members")
    axis.legend(frameon=False)


def _rows(axis, rows):
    for kind, style in (("all rows", "-"), ("minibatches", "--")):
        chosen = [(int(w.split(", ")[1]), info) for w, info in rows if w.startswith(kind)]
        if chosen:
            names = [f"{kind}, {side}" for side in SIDES["rows"]]
            _lines(axis, *zip(*chosen, strict=True), names, style)
    axis.set(xlabel="rows")
    axis.legend(frameon=False)


def _lines(axis, sizes, infos, names, style):
    ours = [info["seconds_per_step"] for info in infos]
    other = [info["other_seconds_per_step"] for info in infos]
    axis.loglog(sizes, ours, "o" + style, color=OURS, label=names[0])
    axis.loglog(sizes, other, "s" + style, color=OTHER, label=names[1], ms=4)
    axis.set(ylabel="seconds per step")
