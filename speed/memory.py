"""CPU seconds and peak memory of large work, by what becomes of the memory that arrays free.

    python speed/memory.py                   print the tables
    python speed/memory.py --write           and write speed/memory.md
    python speed/memory.py --results FILE    keep there what each process took, and show earlier ones too
    python speed/memory.py --uses windows --settings system,kept --rounds 1    a try-out

Every setting is given to a process by its environment; the settings take turns, one thread each. Peak memory
is the largest resident size of the process, or of the largest that it started; Linux counts that of this one
in, which therefore stays small. Every use must give the same result to the last bit under every setting.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from medbench.core.machine import processor_name
from memory_uses import HERE as PROGRAMS
from memory_uses import USES

HERE = Path(__file__).resolve()
ROUNDS = 3
BASE = "system"
HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
KEPT = 1 << 30
WITHOUT_FASTBINS = "glibc.malloc.mxfast=0"


def thresholds(mebibytes: int) -> dict[str, str]:
    size = str(mebibytes << 20)
    return {"MALLOC_MMAP_THRESHOLD_": size, "MALLOC_TRIM_THRESHOLD_": size}


def tunables(*first: str) -> dict[str, str]:
    kept = [f"glibc.malloc.{name}_threshold={KEPT}" for name in ("mmap", "trim")]
    return {"GLIBC_TUNABLES": ":".join([*first, *kept])}


SETTINGS: dict[str, tuple[str, dict[str, str]]] = {
    BASE: (
        "the system's own, as by `MEDBENCH_LOW_MEMORY=1`",
        {"MALLOC_ARENA_TEST": "8", HUGE_PAGES: "0"},  # what holds anyway
    ),
    "kept": ("freed memory kept: medbench's commands", {}),
    **{
        f"kept{size}": (f"arrays of up to {size} MiB kept", thresholds(size))
        for size in (32, 64, 128, 256, 512)
    },
    "pad": ("kept, taken by 64 MiB", thresholds(1024) | {"MALLOC_TOP_PAD_": str(64 << 20)}),
    "one_arena": ("kept, one arena", thresholds(1024) | {"MALLOC_ARENA_MAX": "1"}),
    "no_fastbins": ("kept, no fast bins", tunables(WITHOUT_FASTBINS)),
    "no_caches": (
        "kept, neither fast bins nor caches",
        tunables(WITHOUT_FASTBINS, "glibc.malloc.tcache_count=0"),
    ),
    "huge4": ("arrays of up to 4 MiB kept, huge pages", thresholds(4) | {HUGE_PAGES: "1"}),
    "huge32": ("arrays of up to 32 MiB kept, huge pages", thresholds(32) | {HUGE_PAGES: "1"}),
    "huge1024": ("kept, huge pages", thresholds(1024) | {HUGE_PAGES: "1"}),
}
"""Name -> what it is, and the environment that makes it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a use took under a setting, and a digest of its result."""

    use: str
    setting: str
    cpu_s: float
    peak: int
    result: str


def cost(use: str, setting: str, home: Path) -> Cost:
    """Do a use in a process under a setting."""
    prefixes = ("MALLOC_", "GLIBC_TUNABLES", "MEDBENCH_", HUGE_PAGES)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    environment |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")} | SETTINGS[setting][1]
    with tempfile.TemporaryDirectory(dir=home) as folder:
        place = Path(folder)
        environment |= {
            f"MEDBENCH_{name}": str(place / name.lower()) for name in ("CACHE", "RUNS", "LEADERBOARDS")
        }
        command = USES[use].command(home, place)
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=place)
        assert child.stdout is not None
        lines = child.stdout.read().splitlines()
        _, code, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(code)
        if child.returncode:
            raise SystemExit(f"{use}, {setting}: code {child.returncode} of {' '.join(command)}")
        result = lines[-1] if lines else ""
        if USES[use].result:
            (file,) = place.rglob(USES[use].result)
            result = hashlib.sha256(file.read_bytes()).hexdigest()
    return Cost(use, setting, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10, result)


def measure(uses: list[str], settings: list[str], rounds: int, home: Path, results: Path) -> None:
    """Add the costs of some rounds to the results, a line of JSON each."""
    for use in uses:
        for turn in range(rounds):
            for setting in settings[:: -1 if turn % 2 else 1]:
                line = json.dumps(asdict(cost(use, setting, home)))
                print(line, flush=True)
                with results.open("a", encoding="utf-8") as stream:
                    stream.write(line + "\n")


def cell(values: list[float], digits: int) -> str:
    middle = f"{statistics.median(values):.{digits}f}"
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})" if len(values) > 1 else middle


def medians(costs: list[Cost]) -> tuple[float, float]:
    return statistics.median(one.cpu_s for one in costs), statistics.median(one.peak for one in costs)


def rows(use: str, costs: list[Cost]) -> list[str]:
    """Lines of a use's table, each setting beside the system's own."""
    results = {one.result for one in costs}
    if len(results) > 1:
        raise SystemExit(f"{use}: the results are not the same: {results}")
    by_setting = {name: [one for one in costs if one.setting == name] for name in SETTINGS}
    base = by_setting[BASE]
    lines = []
    for name, group in by_setting.items():
        if not group:
            continue
        ratios = ["", ""]
        if base and name != BASE:
            ratios = [f"{a / b:.2f}" for a, b in zip(medians(group), medians(base), strict=True)]
        cpu_s, gib = [one.cpu_s for one in group], [one.peak / (1 << 30) for one in group]
        cells = [SETTINGS[name][0], len(group), cell(cpu_s, 1), ratios[0], cell(gib, 2), ratios[1]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def page(costs: list[Cost], remark: str) -> str:
    """The measured page; results of the same use must be the same under every setting."""
    lines = [
        "# Memory that arrays free",
        "",
        f"Written by `python speed/memory.py --write`. One thread on {os.cpu_count()} cores "
        f"({processor_name()}, {datetime.date.today().isoformat()}). "
        "Medians of processes in turns, in brackets the least and the largest; × is the median beside the "
        "system's own. Peak is the largest resident size of a process. Every use gave the same result, to "
        "the last bit, under all of its settings." + f" {remark}".rstrip(),
    ]
    for use, what in USES.items():
        of_use = [one for one in costs if one.use == use]
        if of_use:
            lines += [
                "",
                f"## {what.title[0].upper()}{what.title[1:]}",
                "",
                "| setting | processes | CPU s | × | peak GiB | × |",
                "|---|---|---|---|---|---|",
                *rows(use, of_use),
            ]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--uses", default=",".join(USES), help="names, by commas")
    parser.add_argument("--settings", default=",".join(SETTINGS), help="names, by commas")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="processes of each; 0 only makes the page")
    parser.add_argument("--home", type=Path, help="folder of an earlier drawing, or where to keep this one")
    parser.add_argument(
        "--results", type=Path, help="lines of JSON of earlier processes, to which these are added"
    )
    parser.add_argument("--remark", default="", help="a sentence for the page, such as what else ran")
    parser.add_argument("--write", action="store_true", help="write speed/memory.md")
    given = parser.parse_args()
    uses, settings = given.uses.split(","), given.settings.split(",")
    with tempfile.TemporaryDirectory() as folder:
        home, results = given.home or Path(folder), given.results or Path(folder) / "results.jsonl"
        home.mkdir(parents=True, exist_ok=True)
        if given.rounds:
            subprocess.run([sys.executable, str(PROGRAMS), "prepare", str(home), *uses], check=True)
        measure(uses, settings, given.rounds, home, results)
        costs = [Cost(**json.loads(line)) for line in results.read_text(encoding="utf-8").splitlines()]
    text = page(costs, given.remark)
    print(text)
    if given.write:
        HERE.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
