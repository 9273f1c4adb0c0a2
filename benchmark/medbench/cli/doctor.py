"""``medbench doctor``."""

from __future__ import annotations

import typer

from medbench.cli import arguments


def command(as_json: arguments.AsJson = False) -> None:
    """Check this machine: packages, devices, folders, container engines, and how to get what is missing."""
    from medbench.cli.console import print_json, print_table
    from medbench.running.doctor import examine

    findings = examine()
    if as_json:
        print_json([{"what": f.what, "found": f.state, "fine": f.fine, "advice": f.advice} for f in findings])
    else:
        rows = [(f.what, "ok" if f.fine else "–", f.state, f.advice) for f in findings]
        print_table("", ("what", "", "found", "what to do"), rows, wrap=(2, 3))
    raise typer.Exit(0 if all(finding.fine or finding.optional for finding in findings) else 2)
