"""How long the command takes to start, beside a bare two-command Typer application.

python speed/startup.py --write      # also writes speed/startup.md
"""

import argparse
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """
import typer
app = typer.Typer()
@app.command()
def one(): pass
@app.command()
def two(): pass
app()
"""


def measure(command, repeats):
    """Medians of wall and CPU seconds of a command."""
    walls, cpus = [], []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        walls.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(walls), statistics.median(cpus)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        medbench = [sys.executable, "-c", "from medbench.cli.main import main; main()"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "bare Typer application --help": [sys.executable, str(bare), "--help"],
            "import medbench": [sys.executable, "-c", "import medbench"],
            "medbench --help": [*medbench, "--help"],
            "medbench challenges": [*medbench, "challenges"],
            "medbench models": [*medbench, "models"],
            "medbench metrics": [*medbench, "metrics"],
        }
        rows = {name: measure(command, arguments.repeats) for name, command in commands.items()}
    lines = ["| command | wall, s | CPU, s |", "|---|---|---|"]
    lines += [f"| `{name}` | {wall:.3f} | {cpu:.3f} |" for name, (wall, cpu) in rows.items()]
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        note = f"Medians of {arguments.repeats}, Python {platform.python_version()}, {platform.machine()}."
        path = Path(__file__).with_suffix(".md")
        path.write_text(f"# Start-up\n\n{text}\n\n{note} Made by `python speed/startup.py --write`.\n")


if __name__ == "__main__":
    main()
