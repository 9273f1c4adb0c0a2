"""Known vulnerabilities of the installed packages: ``python tests/audit.py [--required]``.

Asks the database of the package index by pip-audit. Where no database answers this is said, and is an error
with ``--required``. Packages that the database does not list, as builds of a machine's own, are counted.
"""

import json
import subprocess
import sys
from importlib.metadata import distributions, version


def audit(lines):
    """What pip-audit says of requirements: packages with their vulnerabilities, or the reason of a skip."""
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--no-deps",
         "--disable-pip", "--requirement", "/dev/stdin"],
        input="\n".join(lines), capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    if done.returncode not in (0, 1) or not done.stdout:
        return [{"name": "all", "skip_reason": (done.stderr.strip().splitlines() or ["no answer"])[-1]}]
    return json.loads(done.stdout)["dependencies"]


def main():
    if any("skip_reason" in one for one in audit([f"pip-audit=={version('pip-audit')}"])):
        print("no database of vulnerabilities answers here: nothing was audited")  # noqa: T201
        return int("--required" in sys.argv)
    own = {one.metadata["Name"]: one.version for one in distributions()}
    packages = audit([f"{name}=={number}" for name, number in sorted(own.items()) if name != "medbench"])
    for package in packages:
        for fault in package.get("vulns", ()):
            mended = ", ".join(fault["fix_versions"]) or "no release"
            print(f"{package['name']} {package['version']}: {fault['id']}, mended in {mended}")  # noqa: T201
    unlisted = [one["name"] for one in packages if "skip_reason" in one]
    faulty = sum(bool(one.get("vulns")) for one in packages)
    told = f"{len(packages) - len(unlisted)} packages audited, {faulty} with known vulnerabilities"
    print(f"{told}; not in the database: {', '.join(unlisted) or 'none'}")  # noqa: T201
    return int(faulty > 0)


if __name__ == "__main__":
    sys.exit(main())
