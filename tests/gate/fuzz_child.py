"""Reads edited files of one format and prints what came of them: fuzz_child.py FORMAT COUNT SEED FOLDER."""

import contextlib
import faulthandler
import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from gate_samples import FORMATS, edited_header

from medbench.core.errors import MedbenchError
from medbench.io.gate import expected

BUDGET_BYTES = 64 << 20
SLOW_S = 10.0


def peak_bytes(*, reset=False):
    """Peak of resident memory; on Linux since the last reset."""
    with contextlib.suppress(OSError):
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    name, count, seed, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    form = next(form for form in FORMATS if form.name == name)
    expected.Expected.__init__.__defaults__ = ("release", None, BUDGET_BYTES)
    faulthandler.enable()
    rng = np.random.default_rng(seed)
    path = folder / f"edited{form.suffix}"
    content = form.make()
    path.write_bytes(content)
    form.read(path)
    before = peak_bytes(reset=True)
    counts = {"read": 0, "refused": 0, "foreign": [], "slow": 0, "codes": {}}
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    for index in range(count):
        path.write_bytes(edited_header(form, content, rng))
        started = time.perf_counter()
        try:
            form.read(path)
            counts["read"] += 1
        except MedbenchError as error:
            counts["refused"] += 1
            counts["codes"][error.code] = counts["codes"].get(error.code, 0) + 1
        except BaseException as error:  # noqa: BLE001 - every other exception is a finding
            counts["foreign"].append(
                f"{index}: {type(error).__name__}: {error} {traceback.format_exc()[-300:]}"
            )
            with contextlib.suppress(OSError):
                (folder / f"foreign-{index}{form.suffix}").write_bytes(path.read_bytes())
        counts["slow"] += time.perf_counter() - started > SLOW_S
    counts["grown_bytes"] = peak_bytes() - before
    print(json.dumps(counts))  # noqa: T201


if __name__ == "__main__":
    main()
