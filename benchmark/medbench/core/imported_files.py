"""Python files that a file imports from its own folder, found without running it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

_OURS = "medbench"


def imported_files(path: Path) -> set[Path]:
    """The file and the files of its folder that it imports, at once or inside functions, through any number.

    Args:
        path: a Python file; what cannot be parsed imports nothing.
    """
    root, files, waiting = path.parent, set[Path](), [path]
    while waiting:
        file = waiting.pop()
        if file not in files:
            files.add(file)
            state = file.stat()
            for name in _module_names(file, root, (state.st_mtime_ns, state.st_size)):
                waiting.extend(_files_of(name, root))
    return files


@functools.lru_cache(maxsize=4096)
def _module_names(file: Path, root: Path, state: tuple[int, int]) -> tuple[str, ...]:
    """Names of the modules that a file, in this state, imports; those of this package are left out."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return ()
    names = _imported_names(tree, file, root)
    return tuple(dict.fromkeys(name for name in names if name.partition(".")[0] != _OURS))


def _imported_names(tree: ast.AST, file: Path, root: Path) -> Iterator[str]:
    """Dotted names, below ``root``, of all imports; of ``from a import b`` both a and a.b."""
    package = file.relative_to(root).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*parents, *([node.module] if node.module else [])])
            yield start
            yield from (f"{start}.{alias.name}".lstrip(".") for alias in node.names)


def _files_of(name: str, root: Path) -> Iterator[Path]:
    """Files that Python runs for a module: the module's own and those of the packages that it lies in."""
    parts = name.split(".") if name else []
    for count in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:count])
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                yield file
