"""Write the reference pages of the documentation from the program itself.

    python docs/write_reference.py [FOLDER]

The pages go to ``docs/reference`` (not committed): commands and options from the command line,
error codes from the sources, definitions of metrics from the catalogue, cards of models and
challenges from the registry with the rows of ``leaderboards``, and the interface of Python from
docstrings.
"""

import ast
import inspect
import json
import sys
from collections import defaultdict
from pathlib import Path

import typer

import medbench
import medbench.testing
from medbench.cli.main import app
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.metrics import metric
from medbench.metrics.convention import EMPTY_POLICIES
from medbench.models.registry import model_entry
from medbench.testing.metrics import mask_samples

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PACKAGE = Path(medbench.__file__).parent
RAISED = ("MedbenchError", "Reject", "Refusal")
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


def words(node):
    """The text of a literal, its filled-in parts as dots; empty for other expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def error_calls():
    """Code, message, hint and file of every error that the sources raise with a code of their own."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in (*RAISED, "error"):
                continue
            texts = [words(argument) for argument in node.args]
            if texts and "." in texts[0] and " " not in texts[0]:
                first = 2 if node.func.id == "Refusal" else 1
                message, hint = [*texts[first : first + 2], "", ""][:2]
                yield texts[0], message, hint, path.relative_to(PACKAGE).as_posix()


def errors():
    """Every error code with what it says and what to do."""
    codes = defaultdict(dict)
    for name, message, hint, file in error_calls():
        codes[name].setdefault((message, hint), file)
    parts = [ABOUT_ERRORS]
    for name in sorted(codes):
        rows = [
            (message or "(told by the file at hand)", hint, code(file))
            for (message, hint), file in sorted(codes[name].items())
        ]
        parts.append(f"## {name}\n\n{table(('what it says', 'what to do', 'raised in'), rows)}")
    return "\n".join(parts)


def pair():
    """The pair of masks on which the definitions are compared."""
    return next(sample for sample in mask_samples() if sample.reference.ndim == 2 and differs(sample))


def differs(sample):
    """Whether both masks hold something, and not the same."""
    return (
        sample.reference.any() and sample.prediction.any() and (sample.reference != sample.prediction).any()
    )


def value_on(id, sample):
    """A metric's value on a pair; a word where it has none."""
    options = {"tolerance": 1.0} if metric(id).options.get("tolerance", 0) is None else {}
    try:
        score = medbench.score(id, sample.reference, sample.prediction, spacing=sample.spacing, **options)
    except MedbenchError as error:
        return error.code
    return score.status if score.value is None else f"{score.value:.4f}"


def figure(sample):
    """Both masks as one drawing: reference filled, prediction outlined."""
    rows, columns = sample.reference.shape
    cells = []
    for row in range(rows):
        for column in range(columns):
            own, other = sample.reference[row, column], sample.prediction[row, column]
            if own or other:
                fill = "#4c78a8" if own and other else "#a0cbe8" if own else "#f58518"
                cells.append(f'<rect x="{column}" y="{row}" width="1" height="1" fill="{fill}"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns} {rows}" width="{12 * columns}" '
        f'height="{12 * rows}"><rect width="{columns}" height="{rows}" fill="#fff" stroke="#888" '
        f'stroke-width="0.1"/>{"".join(cells)}</svg>\n'
    )


def rule_for_empty(convention):
    """What a definition gives for empty masks."""
    empty = convention.empty
    values = [
        f"{name}: {'by the formula' if value is None else value}"
        for name, value in (
            ("both", empty.both),
            ("prediction", empty.prediction),
            ("reference", empty.reference),
        )
    ]
    return f"{empty.name} ({'; '.join(values)})" if convention.compares_masks else ""


def metrics():
    """Every definition with formula, source, rule for empty masks and its value on one pair of masks."""
    conventions = [metric(id) for id in medbench.list_metrics()]
    families = list(dict.fromkeys(one.family for one in conventions))
    sample = pair()
    steps = " × ".join(f"{step:g}" for step in sample.spacing)
    policies = "; ".join(f"`{policy.name}` ({policy.source})" for policy in EMPTY_POLICIES.values())
    parts = [ABOUT_METRICS.format(steps=steps, policies=policies)]
    header = (
        "id",
        "title",
        "definition",
        "what sets it apart",
        "source",
        "unit",
        "empty masks",
        "on the pair",
    )
    for family in families:
        rows = [
            (
                code(one.id), one.title, one.definition, one.differs, one.source, one.unit,
                rule_for_empty(one), value_on(one.id, sample) if one.compares_masks else "",
            )
            for one in conventions
            if one.family == family
        ]  # fmt: skip
        parts.append(f"## {family}\n\n{table(header, rows)}")
    return "\n".join(parts)


def models():
    """The card of every model that is not a variant of a library's table."""
    parts = ["# Models\n\n`medbench models show NAME` prints all of a card; `--json` for scripts.\n"]
    rows = []
    for name in medbench.list_models():
        card = model_entry(name)
        rows.append(
            (code(name), card.title, ", ".join(card.offers), card.paper_title, card.code, card.code_license)
        )
    parts.append(table(("name", "title", "answers", "paper", "authors' code", "licence of that code"), rows))
    return "\n".join(parts)


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
    """The functions of ``medbench`` and ``medbench.testing`` with signature and docstring."""
    parts = [
        "# Python\n\n`import medbench` loads no torch; what a function needs is imported when it is called.\n"
    ]
    for module in (medbench, medbench.testing):
        for name in sorted(module.__all__):
            value = getattr(module, name)
            try:
                signature = str(inspect.signature(value))
            except (TypeError, ValueError):
                signature = ""
            text = inspect.getdoc(value) or ""
            parts.append(f"## {module.__name__}.{name}\n\n```text\n{name}{signature}\n\n{text}\n```\n")
    return "\n".join(parts)


PAGES = {
    "commands.md": commands, "errors.md": errors, "metrics.md": metrics, "models.md": models,
    "challenges.md": challenges, "python.md": interface,
}  # fmt: skip


def write(folder):
    """Write all pages and the drawing into a folder."""
    for name, page in PAGES.items():
        write_text(folder / name, page())
    write_text(folder / "pair.svg", figure(pair()))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "reference")
