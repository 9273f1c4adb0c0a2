"""Profiles and curves as one HTML page, readable offline."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from medbench.core.files import write_text
from medbench.core.text import CONTENT_POLICY
from medbench.profiling.plots import render_curves
from medbench.profiling.sweep import Curve
from medbench.profiling.tables import Table, giga, mebi, milliseconds

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:76em;padding:0 1em;"
    "overflow-wrap:anywhere}"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2em}.scroll{overflow-x:auto}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;overflow-wrap:normal}"
    "th,td{border-bottom:1px solid #8888;padding:.25em .7em;text-align:right;vertical-align:top}"
    "th:first-child,td:first-child{text-align:left;white-space:pre}"
    "img{max-width:100%;background:#fff}.note{opacity:.75}"
)
_VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'


def write_page(path: Path, tables: Sequence[Table], curves: Sequence[Curve] = ()) -> None:
    """Write tables and curves as one HTML file without links to other files; a wide table scrolls alone."""
    body = ["<h1>What the models cost</h1>", *(_table(table) for table in tables if table.rows)]
    if curves:
        chart = base64.b64encode(render_curves(curves, "svg")).decode()
        body += ["<h2>Cost against input size</h2>", _table(sweep_table(curves))]
        body.append(f'<img alt="Cost against input size" src="data:image/svg+xml;base64,{chart}">')
    title = "<title>medbench profile</title>"
    head = f'<meta charset="utf-8">{CONTENT_POLICY}{_VIEWPORT}{title}<style>{_STYLE}</style>'
    write_text(
        path, f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'
    )


def _table(table: Table) -> str:
    headings = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.headings)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    title = f"<h2>{escape(table.title)}</h2>" if table.title else ""
    region = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title or "Points")}">'
    return f"{title}{region}<table><tr>{headings}</tr>{rows}</table></div>{notes}"


def sweep_table(curves: Sequence[Curve]) -> Table:
    """The points of all curves as a table, with their exponents as notes."""
    has_times = any(point.p50_s is not None for curve in curves for point in curve.points)
    headings = ["model", curves[0].axis, "GMACs", "of it attention", "activations [MiB]"]
    rows = [
        (
            curve.model,
            str(point.value),
            giga(point.macs),
            giga(point.attention_macs),
            mebi(point.activation_bytes),
            *([milliseconds(point.p50_s)] if has_times else []),
        )
        for curve in curves
        for point in curve.points
    ]
    names = {
        "macs": "GMACs",
        "attention_macs": "attention",
        "activation_bytes": "activations",
        "p50_s": "time",
    }
    unit = "frames" if curves[0].axis == "frames" else "pixels"
    notes = [
        f"{curve.model}, cost ~ {unit} ^ k: "
        + ", ".join(
            f"{names[name]} k = {value:.2f} ({curve.last_exponents[name]:.2f} at the end)"
            for name, value in curve.exponents.items()
        )
        + "."
        for curve in curves
    ]
    return Table("", (*headings, *(["p50 [ms]"] if has_times else [])), rows, notes)
