"""The shipped real rows, made anew: python leaderboards/make_rows.py DATA [CHALLENGE …] [--minutes 10].

DATA is a folder with one subfolder of real data a challenge, as :data:`PLANS` names them. For each challenge
a constant answer, a plain network and a network of a paper are put on the board, the networks trained from
scratch by their quick recipe at 128×128 with the same budget of CPU time: epochs are timed first, and as many
are trained as should fit into the budget. What each took is written to ``budgets.md``; the rows name both
commands.
"""

from __future__ import annotations

import argparse
import resource
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import substitutes

HERE = Path(__file__).parent
CONSTANT = "baseline/constant"
SIZE = 128
PAGE = HERE / "budgets.md"


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows of a challenge.

    Attributes:
        data: subfolder of the data.
        models: the networks, a plain one first.
        split: the split that is scored; empty for the challenge's own.
        substitute: whether the data stand for a release and are laid out first.
        learns: whether the models are trained.
        changes: settings of the quick recipe, besides the epochs.
        timed: training split of one fold, where ``split`` is a cross-validation; every fold's network has the
            whole budget.
    """

    data: str
    models: tuple[str, ...]
    split: str = ""
    substitute: bool = False
    learns: bool = True
    changes: tuple[str, ...] = (f"image_size={SIZE}",)
    timed: str = ""


PLANS = {
    "hc18": Plan("hc18", ("smp/unet", "dssau_net")),
    "cvc_clinicdb": Plan("cvc_clinicdb", ("smp/unet", "mslau_net")),
    "cvc_clinicdb_boxes": Plan(
        "cvc_clinicdb",
        ("torchvision/retinanet_resnet50_fpn", "medformer_tiny.retinanet"),
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
    parser.add_argument("--minutes", type=float, default=10.0, help="CPU minutes of each training")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--leaderboards", type=Path, default=HERE)
    arguments = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        for challenge in arguments.challenges or PLANS:
            plan = PLANS[challenge]
            data = arguments.data / plan.data
            if plan.substitute:
                data = substitutes.lay_out(challenge, data, Path(temporary) / challenge)
            lines += _rows(challenge, plan, data, arguments)
    _write(arguments.leaderboards / PAGE.name, arguments.minutes, lines)


def _rows(challenge: str, plan: Plan, data: Path, arguments: argparse.Namespace) -> list[str]:
    """Put a challenge's rows on its board; a line of the table of budgets each."""
    where = ["-c", challenge, "--data", str(data), "--runs", str(arguments.runs)]
    boards = ["--leaderboards", str(arguments.leaderboards)]
    split = ["--split", plan.split] if plan.split else []
    if not plan.learns:
        seconds = _medbench(["leaderboard", "references", *where, *split, *boards])
        return [f"| `{challenge}` | reference rows | – | {seconds / 60:.1f} |"]
    lines = []
    folds, one_fold = (split, ["--split", plan.timed]) if plan.timed else ([], [])
    seconds = _medbench(["train", "-m", CONSTANT, *where, *folds])
    _medbench(["run", "-m", CONSTANT, *where, *split, *boards])
    lines.append(f"| `{challenge}` | `{CONSTANT}` | – | {seconds / 60:.1f} |")
    for model in [name for name in plan.models if arguments.model in ("", name)]:
        changes = [word for change in plan.changes for word in ("--recipe-set", change)]
        learn = ["train", "-m", model, "-c", challenge, "--data", str(data)]
        learn += ["--recipe", "quick", *changes]
        epochs = _affordable([*learn, *one_fold], arguments.minutes * 60)
        steps = _steps(epochs)
        seconds = _medbench([*learn, *steps, *folds, "--runs", str(arguments.runs)])
        _medbench(["run", "-m", model, *where, *split, "--recipe", "quick", *boards])
        lines.append(f"| `{challenge}` | `{model}` | {epochs} | {seconds / 60:.1f} |")
    return lines


def _steps(epochs: int) -> list[str]:
    return ["--recipe-set", f"epochs={epochs}", "--recipe-set", "least_steps=0"]


def _affordable(learn: list[str], seconds: float) -> int:
    """Epochs of a training that fit into so many CPU seconds: three epochs are timed beside one."""
    with tempfile.TemporaryDirectory() as scratch:
        one, three = (_medbench([*learn, *_steps(epochs), "--runs", scratch]) for epochs in (1, 3))
    epoch = max((three - one) / 2, 1.0)
    return max(1, round((seconds - max(one - epoch, 0)) / epoch))


def _medbench(words: list[str]) -> float:
    """Run a command of medbench; its CPU seconds.

    Raises:
        SystemExit: when it fails.
    """
    print("medbench", shlex.join(words), flush=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "medbench", *words], check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise SystemExit(done.returncode)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _write(path: Path, minutes: float, lines: list[str]) -> None:
    """Write the table of budgets; rows of challenges that were not made anew are kept."""
    made = {_row_name(line) for line in lines}
    old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in old if line.startswith("| `") and _row_name(line) not in made]
    head = [
        "# Budgets",
        "",
        f"Written by `make_rows.py`: each network was trained by its quick recipe at {SIZE}×{SIZE} with one",
        f"seed, for as many epochs as should fit into {minutes:g} CPU minutes; below, what they took.",
        "Constant answers are fitted. `cvc_clinicdb_boxes` is a cross-validation: three networks, whose",
        "minutes are added.",
        "",
        "| challenge | model | epochs | CPU minutes |",
        "|---|---|---|---|",
    ]
    path.write_text("\n".join([*head, *sorted([*kept, *lines])]) + "\n", encoding="utf-8")


def _row_name(line: str) -> tuple[str, ...]:
    """Challenge and model of a line."""
    return tuple(cell.strip() for cell in line.split("|")[1:3])


if __name__ == "__main__":
    main()
