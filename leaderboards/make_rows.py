"""The shipped real rows, made anew: python leaderboards/make_rows.py DATA [CHALLENGE …] [--minutes M].

DATA is a folder with one subfolder of real data a challenge, as :data:`PLANS` names them. For each challenge
a constant answer, a plain network and a network of a paper are put on the board, the networks trained from
scratch by their quick recipe at 128×128 with the same budget of CPU time. What a step of a network costs is
measured first, and as many steps are trained as cost the budget; a training that misses it by more than a
tenth is repeated with as many steps as it should have had. The rows state the number of steps, the budget and
the CPU minutes that were spent, and ``budgets.md`` lists them; a row that misses its budget by more than the
boards' tolerance is named, and the exit status is 1. An interrupted call is repeated to go on.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import substitutes
from medbench.core.files import read_json, write_json
from medbench.leaderboards.results import measured_challenges, read_results
from medbench.leaderboards.training_budget import (
    TOLERANCE,
    budget_minutes,
    cost_text,
    cpu_minutes,
    missed_budget,
)

HERE = Path(__file__).parent
CONSTANT = "baseline/constant"
SIZE = 128
PROBE_MINUTES = 0.35
"""Time by the clock of the training that shows what a step costs."""
AIM = 0.1
"""Share of the budget by which a training may miss it without being repeated; below the boards' tolerance."""
REPETITIONS = 3
SUMMARY = "training.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows of a challenge.

    Attributes:
        data: subfolder of the data.
        models: the networks, a plain one first.
        split: the split that is scored; empty for the challenge's own.
        substitute: whether the data stand for a release and are laid out first.
        learns: whether the models are trained.
        timed: training split of one fold, where ``split`` is a cross-validation; every fold's network has the
            whole budget.
        minutes: CPU minutes of each training; more where a network would otherwise not surpass the
            constant answer.
    """

    data: str
    models: tuple[str, ...]
    split: str = ""
    substitute: bool = False
    learns: bool = True
    timed: str = ""
    minutes: float = 2.0


PLANS = {
    "hc18": Plan("hc18", ("smp/unet", "dssau_net")),
    "cvc_clinicdb": Plan("cvc_clinicdb", ("smp/unet", "mslau_net"), minutes=4.0),
    "cvc_clinicdb_boxes": Plan(
        "cvc_clinicdb",
        ("torchvision/retinanet_resnet18_fpn", "medformer_tiny.retinanet"),
        split="folds",
        timed="fold1_train",
    ),
    "isic2018": Plan("isic2018", ("smp/unet", "medformer_tiny")),
    "acdc": Plan("acdc", ("smp/unet", "mslau_net")),
    "brain_tumor_mri": Plan("brain_mri", ("timm/resnet18", "medformer_tiny.classifier")),
    "covidx": Plan("cxr", ("timm/resnet18", "medformer_tiny.classifier"), substitute=True),
    "psfhs": Plan("psfhs_iugc", ("smp/unet", "dssau_net"), substitute=True),
    "kpis_patch": Plan("kpis_substitute", ("smp/unet", "brau_net_pp"), substitute=True),
    "tvsum": Plan("tvsum_summe", (), split="annotations", learns=False),
    "summe": Plan("tvsum_summe", (), split="annotations", learns=False),
}


def main() -> None:
    """Make the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the real data, one subfolder a challenge")
    parser.add_argument("challenges", nargs="*", help=f"of {', '.join(PLANS)}; all if none is named")
    parser.add_argument("--model", default="", help="this network alone, beside the constant answer")
    parser.add_argument("--minutes", type=float, help="CPU minutes of each training; the plan's if not given")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--leaderboards", type=Path, default=HERE)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--train-only", action="store_true", help="train, and leave the boards as they are")
    only.add_argument("--score-only", action="store_true", help="predict with what the runs hold, and score")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for challenge in arguments.challenges or PLANS:
            plan = PLANS[challenge]
            data = arguments.data / plan.data
            if plan.substitute:
                data = substitutes.lay_out(challenge, data, Path(temporary) / challenge)
            _rows(challenge, plan, data, arguments)
    missed = [] if arguments.train_only else write_budgets(arguments.leaderboards)
    if missed:
        sys.exit("\n".join(missed))


def _rows(challenge: str, plan: Plan, data: Path, arguments: argparse.Namespace) -> None:
    """Put a challenge's rows on its board."""
    where = ["-c", challenge, "--data", str(data), "--runs", str(arguments.runs)]
    boards = ["--leaderboards", str(arguments.leaderboards)]
    split = ["--split", plan.split] if plan.split else []
    folds = split if plan.timed else []
    if not plan.learns:
        if not arguments.train_only:
            _medbench(["leaderboard", "references", *where, *split, *boards])
        return
    models = [name for name in plan.models if arguments.model in ("", name)]
    if not arguments.score_only:
        _train(challenge, plan, models, arguments, [*where, *folds])
    if arguments.train_only:
        return
    for model in (CONSTANT, *models):
        recipe = [] if model == CONSTANT else ["--recipe", "quick"]
        _medbench(["run", "-m", model, *where, *split, *recipe, *boards])


def _train(
    challenge: str, plan: Plan, models: Sequence[str], arguments: argparse.Namespace, where: list[str]
) -> None:
    """Fit the constant answer, and train the networks until they have cost the budget.

    Args:
        challenge: its name.
        plan: of its rows.
        models: the networks.
        arguments: of the program.
        where: words that name challenge, data, runs and the split of a cross-validation.
    """
    _medbench(["train", "-m", CONSTANT, *where])
    for model in models:
        learn = ["train", "-m", model, *where[:4], "--recipe", "quick", "--recipe-set", f"image_size={SIZE}"]
        one_fold = ["--split", plan.timed] if plan.timed else []
        kept = arguments.runs / "budgets" / f"{challenge}-{model.replace('/', '-')}.json"
        minutes = arguments.minutes or plan.minutes
        steps = _trained_steps([*learn, *one_fold], kept, arguments.runs, minutes)
        if plan.timed:
            _medbench([*learn, *budget_settings(steps, minutes), *where[4:]])


def budget_settings(steps: int, minutes: float) -> list[str]:
    """Settings of a training of so many steps, and the budget that they were planned for."""
    return ["--recipe-set", f"max_steps={steps}", "--recipe-set", f"cpu_minutes={minutes:g}"]


def _trained_steps(learn: list[str], kept: Path, runs: Path, minutes: float) -> int:
    """Number of steps of a training that has cost the budget, and lies among the runs.

    The number is kept in a file, so that a repeated call finds the same training.
    """
    seconds = minutes * 60
    plan = read_json(kept) if kept.is_file() else {"seconds": seconds, "tried": []}
    if plan["seconds"] != seconds:
        plan = {"seconds": seconds, "tried": []}
    steps = plan["tried"][-1] if plan["tried"] else 0
    if not steps:
        clock = ["epochs=100000", f"max_minutes={PROBE_MINUTES}"]
        with tempfile.TemporaryDirectory() as scratch:
            changes = [word for change in clock for word in ("--recipe-set", change)]
            _medbench([*learn, *changes, "--runs", scratch])
            steps = affordable_steps(_summaries(Path(scratch))[0], seconds)
    while True:
        plan["tried"] += [] if steps in plan["tried"] else [steps]
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, plan)
        _medbench([*learn, *budget_settings(steps, minutes), "--runs", str(runs)])
        summary = _summary_of(runs, learn, steps)
        better = affordable_steps(summary, seconds)
        over = abs(summary["cpu_s"] - seconds) > AIM * seconds
        if not over or better in plan["tried"] or len(plan["tried"]) == REPETITIONS:
            return steps
        steps = better


def affordable_steps(summary: dict[str, Any], seconds: float) -> int:
    """Steps of a training that costs so many CPU seconds, from what a training of others cost.

    Args:
        summary: its ``training.json``; the first step carries the reading of the data.
        seconds: the budget.
    """
    first = summary["cpu_s_first_step"]
    if summary["steps"] < 2:
        return max(1, round(seconds / summary["cpu_s"]))
    step = (summary["cpu_s"] - first) / (summary["steps"] - 1)
    return max(1, 1 + round((seconds - first) / step))


def _summaries(runs: Path) -> list[dict[str, Any]]:
    return [read_json(path) for path in sorted(runs.glob(f"*/*/training/*/{SUMMARY}"))]


def _summary_of(runs: Path, learn: list[str], steps: int) -> dict[str, Any]:
    """The summary of a model's training of so many steps on a challenge, the latest of them."""
    given = dict(zip(learn[1::2], learn[2::2], strict=False))
    own = [
        summary
        for summary in _summaries(runs)
        if (summary["model"], summary["challenge"]) == (given["-m"], given["-c"])
        and summary["split"] == given.get("--split", summary["split"])
        and summary["recipe"].get("max_steps") == steps
    ]
    return max(own, key=lambda summary: str(summary["finished"]))


def _medbench(words: Sequence[str]) -> None:
    """Run a command of medbench.

    Raises:
        SystemExit: when it fails.
    """
    print("medbench", shlex.join(words), flush=True)
    done = subprocess.run([sys.executable, "-m", "medbench", *words], check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.returncode)


def write_budgets(leaderboards: Path) -> list[str]:
    """Write ``budgets.md`` from the rows of all boards; sentences on rows that missed their budget."""
    lines, missed = [], []
    for challenge in measured_challenges(leaderboards):
        for row in read_results(leaderboards, challenge):
            if not cpu_minutes(row):
                continue
            recipe = row["training"]["recipe"]
            steps = str(recipe["max_steps"]) if budget_minutes(row) else "fitted"
            budget = f"{budget_minutes(row):g}" if budget_minutes(row) else "none"
            fault = missed_budget(row)
            missed += [f"{challenge}, {row['model']}: {fault}"] if fault else []
            cells = [f"`{challenge}`", f"`{row['model']}`", budget, steps, cost_text(row), fault or "–"]
            lines.append(f"| {' | '.join(cells)} |")
    head = [
        "# Budgets",
        "",
        "Written by `make_rows.py` from the rows: each network was trained by its quick recipe",
        f"at {SIZE}×{SIZE} with one seed, for as many steps as cost the budget; beside it what the",
        "training took, from the reading of its images to its weights. A row that missed its budget",
        f"by more than {100 * TOLERANCE:.0f} % says so here and in its name. Constant answers are fitted",
        "and have no budget. A cross-validation trains a network a fold, each with the whole budget.",
        "",
        "| challenge | model | budget a network | steps | CPU minutes | missed |",
        "|---|---|---|---|---|---|",
    ]
    (leaderboards / "budgets.md").write_text("\n".join([*head, *sorted(lines)]) + "\n", encoding="utf-8")
    return missed


if __name__ == "__main__":
    main()
