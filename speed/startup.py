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


def seconds(command):
    """Wall and CPU seconds of a command."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def spread(values):
    """Median with the least and the largest."""
    return f"{statistics.median(values):.3f} ({min(values):.3f}–{max(values):.3f})"


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
        took = {name: [] for name in commands}
        for _ in range(arguments.repeats):
            for name, command in commands.items():
                took[name].append(seconds(command))
    lines = ["| command | wall, s | CPU, s |", "|---|---|---|"]
    for name, each in took.items():
        wall_s, cpu_s = zip(*each, strict=True)
        lines.append(f"| `{name}` | {spread(wall_s)} | {spread(cpu_s)} |")
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        note = (
            f"Medians of {arguments.repeats} in turns, with the least and the largest; "
            f"Python {platform.python_version()}, {platform.machine()}."
        )
        path = Path(__file__).with_suffix(".md")
        path.write_text(f"# Start-up\n\n{text}\n\n{note} Made by `python speed/startup.py --write`.\n")


if __name__ == "__main__":
    main()
