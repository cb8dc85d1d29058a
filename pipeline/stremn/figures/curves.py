"""Learning curves (data in, figure out)."""

from collections.abc import Sequence

from matplotlib.figure import Figure


def loss_figure(rows: Sequence[dict[str, float]], *, title: str, validation: str | None = None) -> Figure:
    """The loss of each logged step and, on its own axis, a validation value.

    Args:
        rows: ``History.rows``.
        title: what was trained.
        validation: name of a validation value without its prefix, e.g. ``"J"``.
    """
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    trained = [r for r in rows if "loss" in r]
    axes.plot(
        [r["step"] for r in trained], [r["loss"] for r in trained], color="#0072B2", label="training loss"
    )
    axes.set(title=title, xlabel="step", ylabel="loss", ylim=(0, None))
    handles, labels = axes.get_legend_handles_labels()
    held_out = [r for r in rows if f"validation_{validation}" in r]
    if validation and held_out:
        right = axes.twinx()
        right.plot(
            [r["step"] for r in held_out],
            [r[f"validation_{validation}"] for r in held_out],
            "o-",
            color="#D55E00",
            label=f"validation {validation}",
        )
        right.set_ylabel(f"validation {validation}")
        more = right.get_legend_handles_labels()
        handles, labels = handles + more[0], labels + more[1]
    axes.legend(handles, labels, loc="center right", frameon=False)
    axes.spines["top"].set_visible(False)
    return figure
