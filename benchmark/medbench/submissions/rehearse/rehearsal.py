"""The rehearsal: run a submission as its platform does and compare its outputs with ``medbench run``'s."""

from __future__ import annotations

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
from medbench.core.text import counted
from medbench.running.loop import predict_and_score
from medbench.submissions.build.context import Build, labels
from medbench.submissions.build.dockerfile import APP
from medbench.submissions.build.locking import gather
from medbench.submissions.containers.runners import (
    Outcome,
    RelocatedRunner,
    Runner,
    ServerDidNotStart,
    clear,
    usable_threads,
)
from medbench.submissions.findings import Finding, error, failed, note, sorted_findings, warning
from medbench.submissions.limits import Limits, Usage, judge_usage
from medbench.submissions.platforms.base import Trial, Variant
from medbench.submissions.rehearse.staging import make_readable
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
    """Result of a rehearsal.

    Attributes:
        runner: how the container was run.
        findings: errors first.
        usage: time and memory of every call, by variant and case.
        limits: the platform's limits on time and memory.
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
                {
                    "case": one.case,
                    "time_s": one.time_s,
                    "peak_bytes": one.peak_bytes,
                    "start_s": one.start_s,
                    "limit_s": self.limits.start_s if one.is_start else self.limits.time_s,
                }
                for one in self.usage
            ],
            "findings": [finding.as_json() for finding in self.findings],
        }


def rehearse(
    build: Build,
    *,
    runners: Sequence[Runner] = (),
    pattern: str = "*",
    count: int = SEVERAL,
    progress: Progress | None = None,
) -> Rehearsal:
    """Run a built submission on a few cases in every way that its platform may call it.

    Args:
        build: from :func:`medbench.submissions.build.context.build_context`.
        runners: of an engine, one for each way in which the platform starts containers; the entry script in
            a relocated root if not given.
        pattern: only cases whose id matches.
        count: number of cases.
        progress: display that counts the calls.

    Raises:
        MedbenchError: ``rehearsal.no_case``, or when ``medbench run`` itself cannot predict the cases.
    """
    progress = progress or SilentProgress()
    folder = build.folder / "rehearsal"
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "root"
    cases = _prepare(build, folder / "expected", pattern, count, progress)
    runners = runners or [_relocated(build, folder, root)]
    _mount(build, root)
    names = " and in a ".join(runner.name for runner in runners)
    result = Rehearsal(names, build.platform.limits.with_phase(build.submission.limits))
    result.cases = [one.case.id for one in cases]
    variants = build.platform.variants(build.submission)
    progress.start("rehearsing", len(runners) * len(variants) * len(cases))
    for runner in runners:
        for variant in variants:
            result.findings += _variant(build, runner, variant, cases, root, result, progress)
    progress.finish()
    for usage in result.usage:
        result.findings += judge_usage(usage, result.limits)
    if build.job.data.kind == "sample":
        result.findings.append(
            note(
                "rehearsal.sample",
                "Rehearsed on synthetic cases.",
                "Rehearse with --data before you submit.",
            )
        )
    if build.submission.image.accelerator == "cuda":
        result.findings.append(_not_on_a_gpu(build))
    result.findings = sorted_findings(result.findings)
    write_json(
        build.folder / REPORT,
        {**build.manifest, "platform": build.platform.name, "labels": labels(build), **result.as_json()},
    )
    return result


def _not_on_a_gpu(build: Build) -> Finding:
    """A note on builds with CUDA: the rehearsal runs on the CPU and does not test the GPU."""
    return note(
        "rehearsal.gpu",
        "Rehearsed on the CPU. Not rehearsed: whether the platform's driver takes the CUDA build of torch, "
        "GPU memory, GPU time, and labels that CUDA rounds to another class.",
        f"Try {build.submission.name} out on the platform with one case before you submit.",
    )


def _prepare(build: Build, folder: Path, pattern: str, count: int, progress: Progress) -> list[Trial]:
    """Cases that the platform accepts, with the predictions of ``medbench run``."""
    job = build.job
    samples: dict[str, tuple[Case, Any]] = {}
    for case in job.cases:
        if fnmatch(case.id, pattern) and len(samples) < count:
            sample = job.read(case)
            if build.platform.takes(case, sample):
                samples[case.id] = (case, sample)
    if not samples:
        raise MedbenchError(
            "rehearsal.no_case",
            f"No case of {job.split} matches '{pattern}' and suits {build.platform.title}.",
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
    return [Trial(*samples[row.case], folder / "predictions" / next(iter(row.predictions))) for row in rows]


def _relocated(build: Build, folder: Path, root: Path) -> RelocatedRunner:
    packages, app = folder / "packages", root / APP.lstrip("/")
    gather(build.packages(), packages, link=True)
    app.parent.mkdir(parents=True)
    app.symlink_to(build.app.resolve(), target_is_directory=True)
    script = root / build.platform.entrypoint(build.submission)[-1].lstrip("/")
    writable = [mount.path for mount in build.platform.mounts if mount.writable]
    return RelocatedRunner(root.resolve(), packages.resolve(), script.absolute(), writable, usable_threads())


def _mount(build: Build, root: Path) -> None:
    for mount in build.platform.mounts:
        (root / mount.path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    (root / "tmp").mkdir(parents=True, exist_ok=True)
    place, weights = build.platform.model_folder, build.job.weights
    if place is not None and weights is not None and build.submission.weights.delivery == "mounted":
        shutil.copyfile(weights, root / place.lstrip("/") / WEIGHTS)


def _variant(
    build: Build,
    runner: Runner,
    variant: Variant,
    cases: Sequence[Trial],
    root: Path,
    result: Rehearsal,
    progress: Progress,
) -> Iterator[Finding]:
    calls = [[one] for one in cases] if build.platform.per_case else [list(cases)]
    if not variant.serve:
        for number, call in enumerate(calls):
            _stage(build, runner, call, root, number)
            outcome = runner.run(variant.arguments, result.limits.time_s * len(call) + result.limits.start_s)
            yield from _judge(build, variant, call, root, outcome, result)
            progress.advance(len(call), variant.name)
        return
    _stage(build, runner, calls[0], root, 0)
    begin_s = time.perf_counter()
    try:
        with runner.serve(variant.arguments, result.limits.start_s) as invoke:
            result.usage.append(Usage(f"{variant.name}: start", time.perf_counter() - begin_s, is_start=True))
            for number, call in enumerate(calls):
                _stage(build, runner, call, root, number)
                outcome = invoke(result.limits.time_s * len(call))
                yield from _judge(build, variant, call, root, outcome, result)
                progress.advance(len(call), variant.name)
    except ServerDidNotStart as failure:
        yield error(
            "rehearsal.start", f"{variant.name}: the server did not start: {failure}", "Read its log above."
        )


def _stage(build: Build, runner: Runner, cases: Sequence[Trial], root: Path, number: int) -> None:
    for mount in build.platform.mounts:
        if mount.role in ("input", "output", "scratch"):
            clear(root / mount.path.lstrip("/"))
    build.platform.stage(build.submission, build.job.challenge, cases, root, number)
    for mount in build.platform.mounts:
        place = root / mount.path.lstrip("/")
        make_readable(place)
        if mount.writable:
            runner.hand_over(place)


def _judge(
    build: Build,
    variant: Variant,
    cases: Sequence[Trial],
    root: Path,
    outcome: Outcome,
    result: Rehearsal,
) -> Iterator[Finding]:
    for access in outcome.denied:
        rule, what, advice = _DENIED[access["what"]]
        yield error(rule, f"{variant.name}: the container {what} ({access['detail']}).", advice)
    peak = max((one["peak_bytes"] for one in outcome.cases), default=None)
    start_s = None
    if outcome.cases and not variant.serve:
        start_s = max(0.0, outcome.time_s - sum(one["time_s"] for one in outcome.cases))
    for one in cases:
        time_s = outcome.time_s / len(cases)
        result.usage.append(Usage(f"{variant.name}: {one.case.id}", time_s, peak, start_s=start_s))
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
            "rehearsal.cases",
            f"{variant.name}: predicted {len(outcome.cases)} of {counted(len(cases), 'case')}.",
            "The lines of the container, in the report, say why it stopped.",
        )
    for one in cases:
        differences = list(build.platform.examine(build.submission, build.job.challenge, one, root))
        result.identical += not differences
        yield from (
            Finding(f.rule, f.severity, f"{variant.name}: {f.message}", f.advice) for f in differences
        )
