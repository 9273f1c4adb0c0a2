"""Printed results of checks and rehearsals of submissions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from medbench.cli.console import print_json, print_table
from medbench.core.text import counted

if TYPE_CHECKING:
    from medbench.submissions.findings import Finding
    from medbench.submissions.rehearse.rehearsal import Rehearsal


def show_findings(findings: Sequence[Finding], looked_at: Sequence[str], as_json: bool) -> int:
    """Findings with cause and fix; the exit code, 1 when there is an error."""
    from medbench.submissions.findings import failed

    if as_json:
        print_json({"looked_at": list(looked_at), "findings": [finding.as_json() for finding in findings]})
    else:
        typer.echo(f"looked at: {', '.join(looked_at)}")
        _lines(findings)
    return 1 if failed(findings) else 0


def show_rehearsal(result: Rehearsal, as_json: bool) -> int:
    """Time and memory by case, findings and the verdict; the exit code, 1 when there is an error."""
    if as_json:
        print_json(result.as_json())
        return 0 if result.passed else 1
    limits = result.limits
    rows = [
        [
            usage.case,
            f"{usage.time_s:.2f}",
            f"{usage.time_s / limits.time_s:.1%}",
            "" if usage.peak_bytes is None else f"{usage.peak_bytes / 1e9:.2f}",
            "" if usage.peak_bytes is None else f"{usage.peak_bytes / limits.memory_bytes:.1%}",
        ]
        for usage in result.usage
    ]
    title = f"Rehearsal in a {result.runner}: {limits.time_s:g} s a case, {limits.memory_bytes / 1e9:g} GB"
    print_table(title, ["call", "time (s)", "of limit", "memory (GB)", "of limit"], rows)
    _lines(result.findings)
    verdict = "passed" if result.passed else "failed"
    equal = "equals that" if result.identical == 1 else "equal those"
    typer.echo(f"{verdict}: {counted(result.identical, 'output')} {equal} of medbench run")
    return 0 if result.passed else 1


def _lines(findings: Sequence[Finding]) -> None:
    for finding in findings:
        typer.echo(f"{finding.severity}: {finding.message} [{finding.rule}]")
        if finding.advice:
            typer.echo(f"  fix: {finding.advice}")
