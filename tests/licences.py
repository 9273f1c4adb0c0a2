"""Licences of the packages that medbench brings: ``python tests/licences.py``.

One line a package, by extra, with the packages that those need themselves; exit code 1 where one is under GPL
or AGPL that is not known to be.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires

from packaging.requirements import Requirement

KNOWN = {("reference", "medpy")}
"""Extra and package under GPL: what tests and ``metrics compare`` hold our distances against."""
STRONG = re.compile(r"\bA?GPL\b|GNU (Affero )?General Public", re.IGNORECASE)


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


def needs(name, extra=""):
    """Names that a package needs on this machine, with those of an extra."""
    try:
        lines = requires(name) or []
    except PackageNotFoundError:
        return
    for line in map(Requirement, lines):
        plain = line.marker is None or line.marker.evaluate({"extra": ""})
        if plain or line.marker.evaluate({"extra": extra}):
            yield line.name.lower().replace("_", "-")


def closure(names):
    """Packages that are needed, with those that they need themselves."""
    known, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in known:
            known.add(name)
            waiting += needs(name)
    return sorted(known)


def main():
    extras = sorted(set(metadata("medbench").get_all("Provides-Extra")) - {"all"})
    core, strong, total = closure(needs("medbench")), [], set()
    for extra in ("", *extras):
        below = [name for name in closure(needs("medbench", extra)) if not extra or name not in core]
        for name in below:
            terms = licence(name)
            total.add(name)
            print(f"{extra or 'core'}\t{name}\t{terms}")  # noqa: T201
            if STRONG.search(terms) and "LGPL" not in terms and (extra, name) not in KNOWN:
                strong.append(f"{name} ({extra or 'core'})")
    if strong:
        sys.exit(f"under GPL, and not known to be: {', '.join(sorted(set(strong)))}")
    known = ", ".join(f"{name} (extra {extra})" for extra, name in sorted(KNOWN))
    print(f"{len(total)} packages, under GPL: {known}")  # noqa: T201


if __name__ == "__main__":
    main()
