"""Error codes of the sources, with every message and hint that goes with each."""

import ast
import functools
from collections import Counter, defaultdict
from pathlib import Path

CALLS = {
    "MedbenchError": (0, 1, 2), "Reject": (0, 1, 2), "Refusal": (0, 2, 3),
    "error": (0, 1, 2), "warning": (0, 1, 2), "note": (0, 1, 2),
}  # fmt: skip
"""What raises an error or reports a finding -> places of code, message and hint among its arguments."""
PASSED_ON = {
    "message": "(what the file at hand says)",
    "reason": "(what the case at hand says)",
    "facts": "(what the file at hand says)",
    "fault": "(what the file at hand says)",
    "hint": "(as the message says)",
    "advice": "(as the message says)",
    "data_hint": "Lay the folder out as the challenge's page says (`medbench challenges show NAME`).",
}
"""Attribute that another value hands on -> what stands for it."""
FAMILIES = {
    "limits.": ("time", "start", "memory"),
    "output.": ("spacing", "origin", "direction"),
    ".clash": ("model", "metric", "task", "challenge", "platform"),
}
"""The constant part of codes that a loop or a value completes -> what it fills in."""
FORMER = {"data.modality_twice": "data.sequence_twice"}
"""Code -> its name until 2026-11, which stands in records from then."""
DEPTH = 4
MOST = 24


class Sources:
    """The package's modules as syntax trees."""

    def __init__(self, package):
        self.trees = {
            path.relative_to(package).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
            for path in sorted(package.rglob("*.py"))
        }
        self.parents = {
            below: node
            for tree in self.trees.values()
            for node in ast.walk(tree)
            for below in ast.iter_child_nodes(node)
        }
        self.calls, self.definitions = defaultdict(list), Counter()
        for file, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    self.calls[file, name_of(node.func)].append(node)
                elif isinstance(node, ast.FunctionDef):
                    self.definitions[node.name] += 1

    def errors(self):
        """Code, message, hint and file of every error with a code of its own."""
        for (file, name), calls in list(self.calls.items()):
            for call in calls if name in CALLS else ():
                if isinstance(call.func, ast.Attribute):
                    continue
                _, message, hint = (self.argument(call, place, file) for place in CALLS[name])
                for text in self.codes(call.args[0], file) if call.args else ():
                    if text == "internal" or ("." in text and " " not in text):
                        yield text, message or [PASSED_ON["message"]], hint, file

    def codes(self, node, file):
        """Codes that an expression may give, what is filled in included where that can be told."""
        if not isinstance(node, ast.JoinedStr):
            return self.texts(node, file)
        texts = [""]
        for part in node.values:
            said = isinstance(part, ast.Constant)
            ends = [part.value] if said else self.texts(part.value, file) or self.family(node)
            texts = [text + end for text in texts for end in ends]
        return list(dict.fromkeys(texts))

    def family(self, node):
        """What stands in a code that a loop or a value fills in."""
        constants = [part.value for part in node.values if isinstance(part, ast.Constant)]
        return next((FAMILIES[text] for text in constants if text in FAMILIES), ["…"])

    def argument(self, call, place, file):
        """Texts of an argument of a call; none where it is not given."""
        if place < len(call.args):
            return self.texts(call.args[place], file)
        name = ("code", "message", "hint")[place if place < 3 else 2]
        return [text for one in call.keywords if one.arg == name for text in self.texts(one.value, file)]

    def texts(self, node, file, depth=DEPTH):
        """What an expression may say, filled-in parts as dots; none where that cannot be told."""
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) and node.value else []
        if isinstance(node, ast.JoinedStr):
            return [self.joined(node)]
        if isinstance(node, ast.IfExp):
            return self.several((node.body, node.orelse), file, depth)
        if isinstance(node, ast.BoolOp):
            return self.several(node.values, file, depth)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            right = self.texts(node.right, file, depth)
            return [a + b for a in self.texts(node.left, file, depth) for b in right][:MOST]
        if isinstance(node, ast.Attribute):
            return [PASSED_ON[node.attr]] if node.attr in PASSED_ON else []
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict):
            return self.several(node.value.values, file, depth)
        if isinstance(node, ast.Call) and name_of(node.func) == "str":
            return [PASSED_ON["message"]]
        if isinstance(node, ast.Name) and depth:
            return self.named(node, file, depth - 1)
        return []

    def joined(self, node):
        parts = (
            "".join(self.texts(part, "")) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
        return "".join(parts)

    def several(self, nodes, file, depth):
        return list(dict.fromkeys(text for node in nodes for text in self.texts(node, file, depth)))

    def named(self, node, file, depth):
        """What a name stands for: by assignments around it, by the calls of its function, by the module."""
        scope = self.function_of(node)
        while scope is not None:
            values = assigned(scope, node.id)
            if values:
                return self.several(values, file, depth)
            names = [one.arg for one in scope.args.posonlyargs + scope.args.args + scope.args.kwonlyargs]
            if node.id in names:
                return self.given(scope, names, node.id, file, depth)
            scope = self.function_of(scope)
        values = assigned(self.trees[file], node.id)
        return self.several(values, file, depth) or self.imported(node.id, file, depth)

    def given(self, function, names, name, file, depth):
        """What calls of a function give for a parameter; those of its module where others share its name."""
        own = names[1:] if names[:1] in (["self"], ["cls"]) else names
        alone = self.definitions[function.name] == 1
        found = []
        for other in self.trees if alone else [file]:
            for call in self.calls.get((other, function.name), ()):
                values = [one.value for one in call.keywords if one.arg == name]
                values += call.args[own.index(name) :][:1]
                found += self.several(values, other, depth)
        return list(dict.fromkeys(found))

    def imported(self, name, file, depth):
        for node in ast.walk(self.trees[file]):
            if isinstance(node, ast.ImportFrom) and name in [one.asname or one.name for one in node.names]:
                base = (node.module or "").removeprefix("medbench").lstrip(".").replace(".", "/")
                for other in (f"{base}.py", f"{base}/__init__.py"):
                    if other in self.trees and other != file:
                        return self.several(assigned(self.trees[other], name), other, depth)
        return []

    def function_of(self, node):
        node = self.parents.get(node)
        while node is not None and not isinstance(node, ast.FunctionDef):
            node = self.parents.get(node)
        return node


def name_of(function):
    """Name of what is called."""
    return getattr(function, "id", None) or getattr(function, "attr", "")


def assigned(scope, name):
    """Values that a name is given in a function or at the top of a module; parts of tuples included."""
    values = []
    for node in ast.walk(scope) if isinstance(scope, ast.FunctionDef) else scope.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets if isinstance(node, ast.Assign | ast.AnnAssign) else ():
            if isinstance(target, ast.Name) and target.id == name and node.value is not None:
                values.append(node.value)
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(target.elts, node.value.elts, strict=False)
                values += [value for one, value in pairs if isinstance(one, ast.Name) and one.id == name]
    return values


@functools.cache
def error_codes(package: Path):
    """Code -> its cases: messages, hints and the file that raises it."""
    codes = defaultdict(dict)
    for code, messages, hints, file in Sources(package).errors():
        codes[code].setdefault((tuple(messages), tuple(hints), file))
    return {code: list(codes[code]) for code in sorted(codes)}
