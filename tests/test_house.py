"""Rules of the house that no tool checks: sizes of files, functions and facades, names, whole contracts."""

import ast
import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from golden_files import GOLDEN
from medbench.challenges.base import Challenge
from medbench.core.package import PACKAGE

MOST_LINES, MOST_PARAMETERS, MOST_MEMBERS = 400, 8, 20
NETWORK_ROOMS = ("models",)
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
IRREGULAR = set(  # participles that do not end in -ed
    re.findall(
        r"\w+",
        """begun borne broken brought built bought burnt caught chosen dealt done drawn driven eaten fallen
        fed felt forgotten found frozen given gone got grown heard held kept known laid learnt left lent
        lost made meant met mistaken overwritten paid proven rebuilt rewritten said seen sent shown sold
        sought spelt spent spoken stood stuck taken taught thought thrown told torn understood undone
        unseen won written""",
    )
)
NOUNS = {"need", "seed", "speed"}  # that end in -ed
PUBLIC = {  # attributes and arguments whose names others hold, and who does
    "boxed": "SurfacePair, by which metrics of others measure",
    "compiled": "JSON of profiles",
    "dashed": "core.overlay.Stroke, by which challenges of others draw",
    "expected": "what every reader of files is told to expect of one; a submission's Trial",
    "failed": "records and boards",
    "finished": "records",
    "frozen": "option of the model cm_cgns/classifier; JSON of studies and trainings",
    "kept": "result of medbench.run",
    "known": "result of medbench.load_predictor",
    "labelled": "core.sample.TrainingImage, which challenges of others give",
    "lost": "JSON of boards and studies",
    "measured": "JSON of boards and profiles",
    "padded": "input contracts in weights and medbench.toml",
    "pooled": "core.result_table.MetricSpec, which challenges of others state; records",
    "published": "JSON of boards",
    "refused": "JSON of trainings with a start",
    "resumed": "result of medbench.run",
    "scored": "records and boards",
    "sealed": "JSON of boards",
    "seen": "a buffer in the checkpoints of dmaf_net's training",
    "signed": "core.result_table.MetricSpec",
    "started": "records",
    "tried": "JSON of profiles",
    "turned": "io.gate.image_header.ImageHeader, which challenges read",
    "uncounted": "JSON of profiles",
    "undefined": "records and boards",
    "uploaded": "submission.toml",
}
SIDES = {
    "right",
    "top",
    "above",
    "width",
    "height",
}  # beside one of these, left is a side and nothing that is over
SHARED_ROOMS = {"declared", "families", "simulators"}
SHARED_NAMES = {  # the folder says the rest
    "arrays",
    "package",
    "rehearsal",
    "summaries",
    "child",
    "data",
    "entry",
    "job",
    "page",
    "predictor",
    "request",
    "sequences",
    "serving",
    "slides",
    "task",
    "training",
    "volumes",
    "weights",
    "workflow",
    "__init__",
    "__main__",
    "base",
    "catalogue",
    "registry",
    "files",
    "folders",
    "reading",
    "tables",
}
FILES = sorted(PACKAGE.rglob("*.py"))


@dataclass(frozen=True)
class Binding:
    """A name where it is bound: an attribute in a class's body and an argument may be public."""

    name: str
    line: int
    is_public: bool
    others: frozenset[str]


def functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def count_parameters(function):
    own = function.args
    names = [argument.arg for argument in (*own.posonlyargs, *own.args, *own.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def test_no_module_needs_at_its_top_what_windows_lacks():
    """Programs for the platforms' containers, which are Linux, stand under templates."""
    lacking = {"fcntl", "grp", "pwd", "resource", "termios"}
    for path in FILES:
        top = ast.parse(path.read_text(encoding="utf-8")).body if "templates" not in path.parts else ()
        names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in top if isinstance(node, ast.ImportFrom)}
        assert not names & lacking, path


def test_files_are_short():
    lengths = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in FILES
    }
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_functions_take_few_parameters():
    long = [
        f"{path.relative_to(PACKAGE)}:{function.lineno} {function.name} takes {count_parameters(function)}"
        for path in FILES
        if path.relative_to(PACKAGE).parts[0] != "cli"
        for function in functions(path)
        if count_parameters(function) > MOST_PARAMETERS
        and not (path.relative_to(PACKAGE).parts[0] in NETWORK_ROOMS and _constructs_a_network(function))
    ]
    assert long == []


def _constructs_a_network(function):
    names = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
    return function.name == "__init__" or "num_classes" in names


def test_the_facade_is_small():
    parts = ("card", "release", "exchange", "scorer")
    members = [name for name in vars(Challenge) if not name.startswith("_")]
    assert len(members) + len(parts) <= MOST_MEMBERS


def test_module_names_are_unique():
    owners = defaultdict(list)
    for path in FILES:
        relative = path.relative_to(PACKAGE)
        free = ("cli", "platforms", "templates", "recipes")
        in_challenge = relative.parts[0] == "challenges" and len(relative.parts) > 2
        if in_challenge or set(relative.parts) & set(free) or path.stem in SHARED_NAMES:
            continue
        owners[path.stem].append(relative.as_posix())
    assert {name: paths for name, paths in owners.items() if len(paths) > 1} == {}


def test_the_contract_of_independence_names_every_challenge():
    contracts = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (independent,) = [contract["modules"] for contract in contracts if contract["type"] == "independence"]
    rooms = {path.parent.name for path in (PACKAGE / "challenges").glob("*/__init__.py")}
    assert independent == [f"medbench.challenges.{name}" for name in sorted(rooms - SHARED_ROOMS)]


def test_every_golden_file_has_its_program_in_the_readme():
    lines = (GOLDEN / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("|")]
    patterns = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    stems = {path.stem for path in GOLDEN.iterdir() if path.suffix in (".json", ".npz")}
    assert {stem for stem in stems if not any(fnmatch(stem, pattern) for pattern in patterns)} == set()
    assert {pattern for pattern in patterns if not any(fnmatch(stem, pattern) for stem in stems)} == set()


def test_golden_files_are_read_by_one_fixture():
    others = [
        path.name
        for path in Path(__file__).parent.rglob("*.py")
        if path != Path(__file__) and "import GOLDEN" in path.read_text(encoding="utf-8")
    ]
    assert others == []


def test_variables_are_nouns():
    wrong, public = [], set()
    for path in FILES:
        for binding in bindings(ast.parse(path.read_text(encoding="utf-8"))):
            if not is_participle(binding.name):
                continue
            if binding.name in PUBLIC and binding.is_public:
                public.add(binding.name)
            elif not (binding.name == "left" and binding.others & SIDES):
                wrong.append(f"{path.relative_to(PACKAGE)}:{binding.line} {binding.name}")
    assert wrong == []
    assert set(PUBLIC) - public == set()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("found = 1", ["found"]),
        ("def f(resolved, /, *told, wanted=1): ...", ["resolved", "told", "wanted"]),
        ("for _kept in (need, speed): seed = 1", ["_kept"]),
        ("with a as opened:\n    x = [shown for shown in opened]", ["opened", "shown"]),
        ("try: ...\nexcept OSError as refused: ...", ["refused"]),
        ("match a:\n    case [1, *taken] as matched: ...", ["matched", "taken"]),
        ("def f(box):\n    left, right = box", []),
        ("def f(cases):\n    left = cases", ["left"]),
        ("def f():\n    pooled = 1\nclass C:\n    pooled = 1", ["pooled"]),
    ],
)
def test_participles_are_recognised(source, names):
    assert names == sorted(
        binding.name
        for binding in bindings(ast.parse(source))
        if is_participle(binding.name)
        and not (binding.name in PUBLIC and binding.is_public)
        and not (binding.name == "left" and binding.others & SIDES)
    )


def is_participle(name):
    word = name.strip("_")
    return word in IRREGULAR or (re.fullmatch("[a-z]+ed", word) is not None and word not in NOUNS)


def bindings(tree):
    """Every name that a module binds, with the names around it."""
    return _bindings_below(tree, arguments=frozenset(), others=frozenset(), is_class=False)


def _bindings_below(node, *, arguments, others, is_class):
    for child in ast.iter_child_nodes(node):
        name = _bound_name(child)
        if name:
            yield Binding(name, child.lineno, is_class or name in arguments, others)
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside = {
                "arguments": frozenset(below.arg for below in ast.walk(child) if isinstance(below, ast.arg)),
                "others": frozenset(_bound_name(below) for below in ast.walk(child)),
                "is_class": isinstance(child, ast.ClassDef),
            }
        else:
            inside = {"arguments": arguments, "others": others, "is_class": is_class}
        yield from _bindings_below(child, **inside)


def _bound_name(node):
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return node.name or ""
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else ""
