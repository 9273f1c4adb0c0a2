"""Codabench's ingestion program: run a participant's ``predict.py`` on the input data, keep what it wrote.

The participant's folder, ``/app/ingested_program``, is called once as ``python predict.py INPUT OUTPUT``.
``INPUT/cases.json`` lists every case with its files and the name of its prediction below OUTPUT. Nothing but
these predictions becomes ``/app/output``, which is scored; references are not mounted here.
Source: codalab/codabench@c7dbc75.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

APP = Path(os.environ.get("MEDBENCH_ROOT", "/")) / "app"
ENTRY = "predict.py"


def main() -> str:
    """Predict and publish; what went wrong, in a line for the participant, or nothing."""
    cases = json.loads((APP / "input_data" / "cases.json").read_text(encoding="utf-8"))
    program = APP / "ingested_program"
    if not (program / ENTRY).is_file():
        there = ", ".join(sorted(path.name for path in program.glob("*"))[:3]) or "nothing"
        return f"the submission has no {ENTRY} at its top (it holds {there}). Zip files, not their folder."
    with tempfile.TemporaryDirectory() as folder:
        predictions = Path(folder) / "predictions"
        predictions.mkdir()
        command = [sys.executable, ENTRY, str((APP / "input_data").resolve()), str(predictions)]
        process = subprocess.run(command, cwd=program, stderr=subprocess.PIPE, text=True, errors="replace")
        sys.stderr.write(process.stderr)
        if process.returncode:
            lines = [line for line in process.stderr.splitlines() if line.strip()]
            reason = lines[-1].strip() if lines else "no message"
            return f"{ENTRY} ended with {process.returncode}: {reason}"
        due = [case["output"] for case in cases]
        present = [name for name in due if (predictions / name).is_file()]
        if not present:
            there = ", ".join(sorted(path.name for path in predictions.glob("*"))[:3]) or "nothing"
            return f"{ENTRY} wrote none of {len(due)} predictions, e.g. {due[0]} (it wrote {there})."
        for name in due:
            if name not in present:
                sys.stderr.write(f"{name}: was not predicted; its case is scored as missing.\n")
        publish(predictions, present, APP / "output")
    return ""


def publish(predictions: Path, names: list[str], output: Path) -> None:
    """Copy predictions, each whole or not at all."""
    for name in names:
        target = output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.part")
        shutil.copyfile(predictions / name, temporary)
        temporary.replace(target)


if __name__ == "__main__":
    reason = main()
    if reason:
        sys.stderr.write(f"error: {reason}\n")
    sys.exit(2 if reason else 0)
