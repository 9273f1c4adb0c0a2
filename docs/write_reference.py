"""Write the reference pages of the documentation from the program itself.

    python docs/write_reference.py [FOLDER]

The pages go to ``docs/reference`` (not committed): commands and options from the command line,
error codes from the sources, definitions of metrics from the catalogue, cards of models and
challenges from the registry with the rows of ``leaderboards``, and the interface of Python from
docstrings.
"""

import importlib
import inspect
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import typer
from error_codes import FORMER, error_codes
from metric_figures import bars_svg, namesakes, pair_svg

import medbench
import medbench.testing
from medbench.cli.main import app
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.task import TASKS
from medbench.metrics import metric
from medbench.metrics.checks.empty_masks import outcomes_of_empty_masks
from medbench.metrics.convention import EMPTY_POLICIES
from medbench.models.registry import model_entry

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PACKAGE = Path(medbench.__file__).parent
CLASSES = {
    "medbench.models": ("ModelEntry",),
    "medbench.challenges.card": ("Card",),
    "medbench.challenges.release": ("Release", "SplitFacts"),
    "medbench.challenges.exchange": ("Exchange", "Inputs"),
    "medbench.challenges.scorer": ("Scorer",),
    "medbench.core.case": ("Case",),
    "medbench.core.sample": (
        "Sample", "VolumeSample", "SequenceSample", "Prediction", "Boxes", "TrainingImage", "TrainingBoxes",
        "TrainingVolume", "TrainingSequence",
    ),
    "medbench.core.score": ("Score",),
    "medbench.core.result_table": ("MetricSpec", "CaseScores", "ratio_column"),
    "medbench.core.task": ("Task",),
    "medbench.core.files": ("write_text", "write_json"),
    "medbench.io.raster": ("read_image", "read_label_map", "write_image", "write_label_map"),
    "medbench.io.eight_bit": ("read_rgb", "read_grey", "read_binary_mask", "resized_image"),
    "medbench.io.tables": ("read_table",),
    "medbench.io.json_values": ("read_json_value",),
    "medbench.metrics": ("Convention", "MaskPair"),
    "medbench.submissions.platforms.base": ("Platform",),
    "medbench.submissions.platforms.folders": ("FolderPlatform",),
}  # fmt: skip
TASK_HEADER = ("task", "answers", "the answer for one case: prediction[task]")
ABOUT_ERRORS = """# Error codes

An error is one line and a hint, and ends a command with exit code 2. In Python it is a
`MedbenchError` with `code`, `message` and `hint`. A dot stands for what is filled in; `--debug`
shows where an error comes from. Codes that a linter of submissions reports stand here too.
"""
ABOUT_METRICS = """# Definitions of metrics

Metrics of one name differ between organisers and libraries; a definition has a name of its own, and
a challenge names those it uses. The last column is each definition's value on the pair below,
spacing {steps} mm, tolerance 1 mm where the metric has one: dark where both masks are, light where the
reference is alone, orange where the prediction is alone.

![one pair of masks](pair.svg)

The rules for empty masks: {policies}.
"""


def cell(value):
    """A value in one cell of a table."""
    text = "" if value is None else str(value)
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def table(header, rows):
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines) + "\n"


def code(text):
    """Text as code."""
    return f"`{text}`"


def commands():
    """Every command and every option, as the program tells them."""
    parts = ["# Commands and options\n\nThe same texts as `medbench COMMAND --help`.\n"]
    parts += described(typer.main.get_command(app), "medbench")
    return "\n".join(parts)


def described(command, path):
    """Sections of a command and of those below it."""
    yield f"## {path}\n\n{inspect.cleandoc(command.help or '')}\n"
    rows = [
        (code(" ".join([*parameter.opts, *parameter.secondary_opts])), option_help(parameter))
        for parameter in command.params
        if not getattr(parameter, "hidden", False)
    ]
    if rows:
        yield table(("option", "what it does"), rows)
    for name, below in sorted(getattr(command, "commands", {}).items()):
        if not below.hidden:
            yield from described(below, f"{path} {name}")


def option_help(parameter):
    """The help of an option, with its default where it has one that tells something."""
    text = getattr(parameter, "help", "") or ""
    default = parameter.default
    plain = isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""
    return f"{text} Default: {default}." if plain else text


def errors():
    """Every error code with what it says and what to do."""
    parts = [ABOUT_ERRORS]
    for name, cases in error_codes(PACKAGE).items():
        rows = [
            ("; ".join(messages), "; ".join(hints) or "(as above)", code(file))
            for messages, hints, file in cases
        ]
        rows.sort(key=lambda row: row[1] == "(as above)")
        former = f"Until 2026-11: `{FORMER[name]}`.\n\n" if name in FORMER else ""
        parts.append(f"## {name}\n\n{former}{table(('what it says', 'what to do', 'raised in'), rows)}")
    return "\n".join(parts)


def pair():
    """The pair of masks on which the definitions are compared.

    The reference is a square with a hole and a small lesion. The prediction is moved by a row, lacks the last
    column and the hole, finds a part of the lesion, and has a false island.
    """
    reference, prediction = np.zeros((2, 28, 28), np.uint8)
    reference[4:18, 4:18], reference[9:13, 9:13], reference[21:25, 18:24] = 1, 0, 1
    prediction[5:19, 4:17], prediction[2:4, 19:21], prediction[22:25, 19:24] = 1, 1, 1
    return SimpleNamespace(reference=reference, prediction=prediction, spacing=(1.0, 0.5))


def value_on(id, sample):
    """A metric's value on a pair; a word where it has none."""
    options = {"tolerance": 1.0} if metric(id).options.get("tolerance", 0) is None else {}
    try:
        score = medbench.score(id, sample.reference, sample.prediction, spacing=sample.spacing, **options)
    except MedbenchError as error:
        return error.code
    return score.status if score.value is None else score.value


def values_on(sample):
    """Every definition of masks with its value on a pair."""
    ids = [id for id in medbench.list_metrics() if metric(id).compares_masks]
    return {id: value_on(id, sample) for id in ids}


def rule_for_empty(convention):
    """What a definition gives for empty masks."""
    if not convention.compares_masks:
        return ""
    values = [f"{name}: {value}" for name, value in outcomes_of_empty_masks(convention.id).items()]
    return f"{convention.empty.name} ({'; '.join(values)})"


def metrics():
    """Every definition with formula, source, rule for empty masks, and how namesakes differ on one pair."""
    conventions = [metric(id) for id in medbench.list_metrics()]
    families = list(dict.fromkeys(one.family for one in conventions))
    sample = pair()
    values = values_on(sample)
    steps = " × ".join(f"{step:g}" for step in sample.spacing)
    policies = "; ".join(f"`{policy.name}` ({policy.source})" for policy in EMPTY_POLICIES.values())
    parts = [ABOUT_METRICS.format(steps=steps, policies=policies)]
    parts += [
        f"### {name} on the pair\n\n![values of {', '.join(group)}](namesakes-{name}.svg)\n"
        for name, group in namesakes(values).items()
    ]
    header = (
        "id", "title", "definition", "what sets it apart", "source", "unit", "empty masks", "on the pair",
    )  # fmt: skip
    for family in families:
        rows = [
            (
                code(one.id), one.title, one.definition, one.differs, one.source, one.unit,
                rule_for_empty(one), shown(values.get(one.id, "")),
            )
            for one in conventions
            if one.family == family
        ]  # fmt: skip
        parts.append(f"## {family}\n\n{table(header, rows)}")
    return "\n".join(parts)


def shown(value):
    """A value in a cell."""
    return value if isinstance(value, str) else f"{value:.4f}"


def models():
    """The card of every model, and the rows that were measured for it."""
    parts = ["# Models\n\n`medbench models show NAME` prints all of a card; `--json` for scripts.\n"]
    rows, measured = [], rows_by_model()
    for name in medbench.list_models():
        card = model_entry(name)
        rows.append(
            (code(name), card.title, ", ".join(card.offers), card.paper_title, card.code, card.code_license)
        )
    parts.append(table(("name", "title", "answers", "paper", "authors' code", "licence of that code"), rows))
    parts.append("## Measured on real data\n\nThe first column of each shipped row; subsets are marked.\n")
    header = ("model", "challenge", "split", "entry", "column", "value", "95 % interval")
    parts.append(table(header, [line for name in sorted(measured) for line in measured[name]]))
    return "\n".join(parts)


def rows_by_model():
    """Model -> its shipped rows: challenge, split, title, first column with value and interval."""
    lines = {}
    for path in sorted((ROOT / "leaderboards").glob("*/results.jsonl")):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            column, cell = next(iter(row["metrics"].items()))
            ends = cell["ci95"] or ()
            subset = f" [subset {row['present_cases']} of {row['released_cases']}]" if row["subset"] else ""
            lines.setdefault(row["model"], []).append(
                (
                    code(row["model"]), code(path.parent.name), row["split"] + subset, row["title"], column,
                    shown(cell["value"]), between(ends),
                )
            )  # fmt: skip
    return lines


def between(ends):
    """Ends of an interval; an end without a bound is left open."""
    return " – ".join("…" if end is None else f"{end:.4f}" for end in ends)


def latest_rows(name):
    """The newest measured rows of a challenge as a table; a sentence where there is none."""
    path = ROOT / "leaderboards" / name / "results.jsonl"
    if not path.is_file():
        return "No measured row on real data is shipped.\n"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    names = list(dict.fromkeys(metric for row in rows for metric in row["metrics"]))[:4]
    values = [
        (
            row["title"],
            row["split"],
            *(f"{row['metrics'][one]['value']:.4f}" if has(row, one) else "" for one in names),
        )
        for row in rows
    ]
    return table(("measured", "split", *names), values)


def has(row, name):
    """Whether a row has a value of a metric."""
    return row["metrics"].get(name, {}).get("value") is not None


def challenges():
    """The card of every challenge with its columns and measured rows."""
    parts = ["# Challenges\n"]
    for name in medbench.list_challenges():
        card = medbench.load_challenge(name).card
        columns = [
            (spec.title, code(spec.convention), spec.unit, spec.better, spec.protocol)
            for spec in card.metrics
        ]
        parts.append(
            f"## {name}\n\n**{card.title}**: {card.summary}.\n\n*A failed case*: {card.failure_rule}\n\n"
            f"{table(('column', 'definition', 'unit', 'better', 'protocol'), columns)}\n{latest_rows(name)}"
        )
    return "\n".join(parts)


def interface():
    """The functions of ``medbench`` and ``medbench.testing``, and the classes that own parts are made of."""
    parts = [
        "# Python\n\n`import medbench` loads no torch; what a function needs is imported when it is called.\n"
    ]
    for module in (medbench, medbench.testing):
        for name in sorted(module.__all__):
            value = getattr(module, name)
            parts.append(f"## {module.__name__}.{name}\n\n{entry(name, value)}")
    rows = [(code(name), TASKS.get(name).title, TASKS.get(name).answer) for name in TASKS]
    parts.append(f"# Tasks\n\nWhat challenges demand and models offer.\n\n{table(TASK_HEADER, rows)}")
    parts.append(
        "# Classes of own parts\n\nWhat [a model](../extending/model.md), "
        "[a challenge](../extending/challenge.md), [a metric](../extending/metric.md) and "
        "[a platform](../extending/platform.md) are made of, and what reads and writes their files. Methods "
        "marked *abstract* are yours to write; the others have a default.\n"
    )
    for place, names in CLASSES.items():
        for name in names:
            value = getattr(importlib.import_module(place), name)
            parts.append(f"## {place}.{name}\n\n{entry(name, value)}{members(value)}")
    return "\n".join(parts)


_ADDRESS = re.compile(r"<function (\S+) at 0x[0-9a-f]+>")
"""How Python writes a function that is the default of an argument."""


def entry(name, value):
    """Signature and docstring of a function or class."""
    try:
        signature = _ADDRESS.sub(r"\1", str(inspect.signature(value)))
    except (TypeError, ValueError):
        signature = ""
    return f"```text\n{name}{signature}\n\n{inspect.getdoc(value) or ''}\n```\n"


def members(value):
    """Public methods of a class that is derived from, each with its docstring."""
    parts = []
    for name, member in vars(value).items() if inspect.isclass(value) else ():
        if name.startswith("_") or not inspect.isfunction(member):
            continue
        kind = "*abstract* " if getattr(member, "__isabstractmethod__", False) else ""
        parts.append(f"\n{kind}`{value.__name__}.{name}`\n\n{entry(name, member)}")
    return "".join(parts)


PAGES = {
    "commands.md": commands, "errors.md": errors, "metrics.md": metrics, "models.md": models,
    "challenges.md": challenges, "python.md": interface,
}  # fmt: skip


def write(folder):
    """Write all pages and the drawing into a folder."""
    for name, page in PAGES.items():
        write_text(folder / name, page())
    write_text(folder / "pair.svg", pair_svg(pair()))
    for name, group in namesakes(values_on(pair())).items():
        write_text(folder / f"namesakes-{name}.svg", bars_svg(group))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "reference")
