"""Rules of the house that no tool checks: sizes of files, functions and facades, names, whole contracts."""

import ast
import re
import tomllib
from collections import defaultdict
from fnmatch import fnmatch
from pathlib import Path

from golden_files import GOLDEN
from medbench.challenges.base import Challenge
from medbench.core.package import PACKAGE

MOST_LINES, MOST_PARAMETERS, MOST_MEMBERS = 400, 8, 20
NETWORK_ROOMS = ("models",)
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
PARTICIPLES = {"asked", "found", "loaded", "picked", "resolved", "told", "wanted"}
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


def test_variables_say_what_they_hold():
    names = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (name := _bound_name(node)) in PARTICIPLES
    ]
    assert names == []


def _bound_name(node):
    if isinstance(node, ast.arg):
        return node.arg
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else ""
