"""Curves of cost against input size, as PNG or SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path
from medbench.profiling.sweep import QUANTITIES, Curve

LABELS = {
    "macs": ("GMACs", 1e9),
    "attention_macs": ("GMACs of the products of attention", 1e9),
    "activation_bytes": ("activations kept for training [MiB]", 2**20),
    "p50_s": ("median forward pass [ms]", 1e-3),
}


def draw_curves(curves: Sequence[Curve], path: Path) -> None:
    """Write the curves as PNG, SVG or PDF, by the suffix of ``path``.

    Raises:
        MedbenchError: ``plot.library`` or ``plot.format``.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in ("png", "svg", "pdf"):
        raise MedbenchError("plot.format", f"{path}: is no PNG, SVG or PDF.", "Use one of these suffixes.")
    chart = render_curves(curves, kind)
    with atomic_path(path) as temporary:
        temporary.write_bytes(chart)


def render_curves(curves: Sequence[Curve], kind: str) -> bytes:
    """A chart as PNG, SVG or PDF: a panel per quantity, both axes logarithmic, exponents in the legends."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MedbenchError(
            "plot.library", "matplotlib is not installed.", "pip install 'medbench[plots]'"
        ) from error
    quantities = [name for name in QUANTITIES if any(name in curve.exponents for curve in curves)]
    figure = Figure(figsize=(4.6 * len(quantities), 4.2), layout="constrained")
    axes = figure.subplots(1, len(quantities), squeeze=False)[0]
    for panel, name in zip(axes, quantities, strict=True):
        label, unit = LABELS[name]
        for curve in curves:
            if name not in curve.exponents:
                continue
            values = [(QUANTITIES[name](point) or 0) / unit for point in curve.points]
            title = f"{curve.model}: {curve.exponents[name]:.2f}, at the end {curve.last_exponents[name]:.2f}"
            panel.plot([point.value for point in curve.points], values, marker="o", label=title)
        panel.set(xscale="log", yscale="log", xlabel=axis_label(curves[0].axis), ylabel=label)
        ticks = [point.value for point in curves[0].points]
        panel.set_xticks(ticks, [str(tick) for tick in ticks], rotation=60)
        panel.minorticks_off()
        panel.grid(visible=True, alpha=0.3)
        panel.legend(fontsize="small", title="exponent over " + ("frames" if _frames(curves) else "pixels"))
    buffer = io.BytesIO()
    dates = {"Date": None} if kind == "svg" else {"CreationDate": None} if kind == "pdf" else None
    figure.savefig(buffer, format=kind, dpi=150, metadata=dates)
    return buffer.getvalue()


def _frames(curves: Sequence[Curve]) -> bool:
    return curves[0].axis == "frames"


def axis_label(axis: str) -> str:
    """Label of the horizontal axis."""
    return "frames" if axis == "frames" else "side of the input [pixels]"
