"""What every drawn figure has in common; nothing here imports matplotlib before it is asked to."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tamperscope.errors import missing_extra

FORMATS = ("svg", "png")
INK = "#808080"
"""Mid grey: about 4 : 1 against a white page and 5 : 1 against a dark one."""
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#a0a000")
"""Okabe and Ito's colours, which the colour-blind can tell apart."""
MARKS = "osD^vPX"
SHADES = "cividis"
"""Rises evenly in lightness, also for the colour-blind."""


def need_matplotlib(what: str) -> None:
    """MissingExtraError that names the extra, unless matplotlib is installed.

    Args:
        what: such as ``drawing matrices``.
    """
    if find_spec("matplotlib") is None:
        raise missing_extra(what, "plots")


def new_figure(width: float, height: float) -> Any:
    """An empty figure of a size in inches that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, stem: Path, *, dpi: int = 160) -> list[Path]:
    """Write ``STEM.svg`` and ``STEM.png`` (``dpi`` pixels an inch) on a transparent ground; folders
    are made.

    Equal figures give equal bytes: no date, and ids that do not depend on chance.
    """
    import matplotlib as mpl

    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context({"svg.hashsalt": "tamperscope", "svg.fonttype": "none"}):
        for kind in FORMATS:
            path = stem.parent / f"{stem.name}.{kind}"
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            figure.savefig(path, transparent=True, dpi=dpi, metadata=metadata)
            paths.append(path)
    return paths


def plain_axes(axes: Any) -> None:
    """No frame, and ink that is read on a light page as on a dark one."""
    axes.tick_params(colors=INK)
    for side in axes.spines.values():
        side.set_visible(False)


def legend_below(
    figure: Any, axes: Any, *, columns: int = 4, fontsize: float | None = None
) -> None:
    """The labels of ``axes`` under the whole figure."""
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=fontsize,
    )
    for text in legend.get_texts():
        text.set_color(INK)


def shade_bar(figure: Any, axes: Any, shades: Any, label: str, **place: float) -> None:
    """The bar that says which shade of an image in ``axes`` is which number."""
    bar = figure.colorbar(shades, ax=axes, label=label, **place)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK)
    bar.ax.yaxis.label.set_color(INK)
