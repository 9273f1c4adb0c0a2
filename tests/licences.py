"""Licences of the packages that medbench brings: ``python tests/licences.py``.

One line a package, by extra; exit code 1 where a package of the light core is under GPL or AGPL.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires

STRONG = re.compile(r"\bA?GPL\b|GNU (Affero )?General Public", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


def licence(name):
    """Licence as the package states it; its classifiers where it states none."""
    try:
        facts = metadata(name)
    except PackageNotFoundError:
        return "not installed"
    stated = facts.get("License-Expression") or ""
    classes = [
        line.rpartition(" :: ")[2] for line in facts.get_all("Classifier") or [] if line.startswith("License")
    ]
    text = (facts.get("License") or "").strip().splitlines()
    return stated or ", ".join(classes) or (text[0][:60] if text else "none stated")


def needs(name, extras=("",)):
    """Names that a package needs, with the extra that asks for each."""
    try:
        lines = requires(name) or []
    except PackageNotFoundError:
        return
    for line in lines:
        extra = _EXTRA.search(line)
        if (extra[1] if extra else "") in extras or extras is None:
            yield _NAME.match(line)[0], extra[1] if extra else ""


def closure(names):
    """Packages that are needed, with those that they need themselves."""
    known, waiting = set(), list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name not in known:
            known.add(name)
            waiting += [below for below, _ in needs(name)]
    return sorted(known)


if __name__ == "__main__":
    direct = [line for line in requires("medbench") or []]
    extras = sorted({extra[1] for line in direct if (extra := _EXTRA.search(line))})
    core = closure(name for name, _ in needs("medbench"))
    for name in core:
        print(f"core\t{name}\t{licence(name)}")  # noqa: T201
    for extra in extras:
        for name, _ in needs("medbench", (extra,)):
            if name != "medbench":
                print(f"{extra}\t{name}\t{licence(name)}")  # noqa: T201
    strong = [name for name in core if STRONG.search(licence(name)) and "LGPL" not in licence(name)]
    if strong:
        sys.exit(f"under GPL in the light core: {', '.join(strong)}")
