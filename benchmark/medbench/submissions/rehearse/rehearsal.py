"""The rehearsal: run a submission as its platform does and compare with what ``medbench run`` writes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import write_json
from medbench.core.progress import Progress, SilentProgress
from medbench.running.loop import predict_and_score
from medbench.submissions.build import locking
from medbench.submissions.build.context import APP, Built, labels
from medbench.submissions.containers.runners import (
    Outcome,
    RelocatedRunner,
    Runner,
    ServerDidNotStart,
    clear,
    usable_threads,
)
from medbench.submissions.lint.findings import Finding, error, failed, note, sorted_findings, warning
from medbench.submissions.platforms.base import Prepared, Variant
from medbench.submissions.rehearse.limits import Limits, Usage, judge_usage
from medbench.submissions.serving.session import WEIGHTS

REPORT = "rehearsal.json"
SEVERAL = 3
_DENIED = {
    "network": (
        "rehearsal.network",
        "needs the network",
        "Containers have none: bake weights and files that are downloaded on first use.",
    ),
    "write": (
        "rehearsal.read_only",
        "writes outside the output and /tmp",
        "Nothing else is writable: use a temporary folder.",
    ),
    "shared memory": (
        "rehearsal.shared_memory",
        "uses /dev/shm",
        "Use no loader workers; shared memory is 64 or 128 MB.",
    ),
}


@dataclass(slots=True)
class Rehearsal:
    """What came of it.

    Attributes:
        runner: how the container was run.
        findings: errors first.
        usage: time and memory of every call, by variant and case.
        limits: what they were measured against.
        cases: ids that were rehearsed.
    """

    runner: str
    limits: Limits
    findings: list[Finding] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)
    identical: int = 0

    @property
    def passed(self) -> bool:
        """Whether there is no error."""
        return not failed(self.findings)

    def as_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "passed": self.passed,
            "runner": self.runner,
            "cases": self.cases,
            "identical_outputs": self.identical,
            "limits": {name: getattr(self.limits, name) for name in self.limits.__dataclass_fields__},
            "usage": [
                {"case": one.case, "time_s": one.time_s, "peak_bytes": one.peak_bytes} for one in self.usage
            ],
            "findings": [finding.as_json() for finding in self.findings],
        }


def rehearse(
    built: Built,
    *,
    runner: Runner | None = None,
    pattern: str = "*",
    count: int = SEVERAL,
    progress: Progress | None = None,
) -> Rehearsal:
    """Run a built submission on a few cases in every way that its platform may call it.

    Args:
        built: from :func:`medbench.submissions.build.context.build_context`.
        runner: of an engine; the entry script in a relocated root if not given.
        pattern: only cases whose id matches.
        count: of cases.
        progress: told of every call.

    Raises:
        MedbenchError: ``rehearsal.no_case``, or when ``medbench run`` itself cannot predict the cases.
    """
    progress = progress or SilentProgress()
    folder = built.folder / "rehearsal"
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "root"
    prepared = _prepare(built, folder / "expected", pattern, count, progress)
    if runner is None:
        runner = _relocated(built, folder, root)
    _mount(built, root)
    result = Rehearsal(runner.name, built.platform.limits.with_phase(built.submission.limits))
    result.cases = [one.case.id for one in prepared]
    progress.start("rehearsing", len(built.platform.variants(built.submission)) * len(prepared))
    for variant in built.platform.variants(built.submission):
        result.findings += _variant(built, runner, variant, prepared, root, result, progress)
    progress.finish()
    for usage in result.usage:
        result.findings += judge_usage(usage, result.limits)
    if built.job.data.kind == "sample":
        result.findings.append(
            note(
                "rehearsal.sample",
                "Rehearsed on synthetic cases.",
                "Rehearse with --data before you hand in.",
            )
        )
    result.findings = sorted_findings(result.findings)
    write_json(
        built.folder / REPORT,
        {**built.manifest, "platform": built.platform.name, "labels": labels(built), **result.as_json()},
    )
    return result


def _prepare(built: Built, folder: Path, pattern: str, count: int, progress: Progress) -> list[Prepared]:
    """Cases that the platform takes, with the predictions of ``medbench run``."""
    job = built.job
    samples: dict[str, tuple[Case, Any]] = {}
    for case in job.cases:
        if fnmatch(case.id, pattern) and len(samples) < count:
            sample = job.read(case)
            if built.platform.takes(case, sample):
                samples[case.id] = (case, sample)
    if not samples:
        raise MedbenchError(
            "rehearsal.no_case",
            f"No case of {job.split} matches '{pattern}' and suits {built.platform.title}.",
            f"Cases are named like {job.cases[0].id}.",
        )
    cases = [case for case, _ in samples.values()]
    rows, _ = predict_and_score(
        job.challenge, cases, job.predictor, folder, progress, read=job.read, score=False
    )
    bad = next((row for row in rows if row.status != "ok"), None)
    if bad is not None:
        raise MedbenchError(
            "rehearsal.prediction", f"{bad.case}: {bad.reason}", "Correct the data or the model."
        )
    return [
        Prepared(*samples[row.case], folder / "predictions" / next(iter(row.predictions))) for row in rows
    ]


def _relocated(built: Built, folder: Path, root: Path) -> RelocatedRunner:
    packages, app = folder / "packages", root / APP.lstrip("/")
    submission = built.submission
    needed = locking.needed_packages(
        submission.model, built.job.network.entry, slides=built.job.slide_settings is not None
    )
    locking.gather(locking.lock(needed), packages, link=True)
    app.parent.mkdir(parents=True)
    app.symlink_to(built.app.resolve(), target_is_directory=True)
    script = root / built.platform.entrypoint(submission)[-1].lstrip("/")
    writable = [mount.path for mount in built.platform.mounts if mount.writable]
    return RelocatedRunner(root.resolve(), packages.resolve(), script.absolute(), writable, usable_threads())


def _mount(built: Built, root: Path) -> None:
    for mount in built.platform.mounts:
        (root / mount.path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    (root / "tmp").mkdir(parents=True, exist_ok=True)
    place, weights = built.platform.model_folder, built.job.weights
    if place is not None and weights is not None and built.submission.weights.delivery == "mounted":
        shutil.copyfile(weights, root / place.lstrip("/") / WEIGHTS)


def _variant(
    built: Built,
    runner: Runner,
    variant: Variant,
    prepared: Sequence[Prepared],
    root: Path,
    result: Rehearsal,
    progress: Progress,
) -> Iterator[Finding]:
    calls = [[one] for one in prepared] if built.platform.per_case else [list(prepared)]
    if not variant.serve:
        for number, cases in enumerate(calls):
            _stage(built, cases, root, number)
            outcome = runner.run(variant.arguments, result.limits.time_s * len(cases) + result.limits.start_s)
            yield from _judge(built, variant, cases, root, outcome, result)
            progress.advance(len(cases), variant.name)
        return
    _stage(built, calls[0], root, 0)
    started = time.perf_counter()
    try:
        with runner.serve(variant.arguments, result.limits.start_s) as invoke:
            result.usage.append(Usage(f"{variant.name}: start", time.perf_counter() - started))
            for number, cases in enumerate(calls):
                _stage(built, cases, root, number)
                outcome = invoke(result.limits.time_s * len(cases))
                yield from _judge(built, variant, cases, root, outcome, result)
                progress.advance(len(cases), variant.name)
    except ServerDidNotStart as failure:
        yield error(
            "rehearsal.start", f"{variant.name}: the server did not start: {failure}", "Read its log above."
        )


def _stage(built: Built, cases: Sequence[Prepared], root: Path, number: int) -> None:
    for mount in built.platform.mounts:
        if mount.role in ("input", "output", "scratch"):
            clear(root / mount.path.lstrip("/"))
    built.platform.stage(built.submission, built.job.challenge, cases, root, number)
    for mount in built.platform.mounts:
        place = root / mount.path.lstrip("/")
        make_readable(place)
        if mount.writable:
            place.chmod(0o777)


def make_readable(place: Path) -> None:
    """Let the container's user read what is mounted."""
    for folder, _, files in os.walk(place):
        os.chmod(folder, 0o755)  # noqa: S103 - it holds data that a platform would hand out as well
        for name in files:
            os.chmod(os.path.join(folder, name), 0o644)


def _judge(
    built: Built, variant: Variant, cases: Sequence[Prepared], root: Path, outcome: Outcome, result: Rehearsal
) -> Iterator[Finding]:
    for denied in outcome.denied:
        rule, what, advice = _DENIED[denied["what"]]
        yield error(rule, f"{variant.name}: the container {what} ({denied['detail']}).", advice)
    peak = max((one["peak_bytes"] for one in outcome.cases), default=None)
    for one in cases:
        result.usage.append(Usage(f"{variant.name}: {one.case.id}", outcome.time_s / len(cases), peak))
    if not outcome.ok:
        text = "out of memory" if outcome.code in (137, -9) else outcome.last_line or "no message"
        yield error(
            "rehearsal.exit",
            f"{variant.name}: {cases[0].case.id}: ended with {outcome.code}: {text}",
            "This line is what the platform shows.",
        )
        return
    if len(outcome.cases) != len(cases):
        yield warning(
            "rehearsal.cases", f"{variant.name}: predicted {len(outcome.cases)} of {len(cases)} cases.", ""
        )
    for one in cases:
        found = list(built.platform.examine(built.submission, built.job.challenge, one, root))
        result.identical += not found
        yield from (Finding(f.rule, f.severity, f"{variant.name}: {f.message}", f.advice) for f in found)
