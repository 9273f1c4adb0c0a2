"""A stand-in for the organisers' ingestion program: import the bundle, give it frames, keep its answers."""

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = Path(os.environ.get("MEDBENCH_ROOT", "/"))


def main() -> None:
    """Every frame of every case, by both classes."""
    sys.path.insert(0, str(HERE / "bundle"))
    module = importlib.import_module("model")
    networks = {
        name: getattr(module, name)().load(str(HERE / "bundle" / "model.pickle"))
        for name in ("model", "modelInter")
    }
    for entry in json.loads((ROOT / "input" / "cases.json").read_text()):
        begin_s = time.perf_counter()
        frames = np.load(ROOT / "input" / entry["frames"])
        answers: dict[str, Any] = {}
        for name, network in networks.items():
            replies = [network.predict(frame, entry["labelled"]) for frame in frames]
            answers[f"{name}_classes"] = np.concatenate([scores for scores, _, _ in replies])
            if entry["labelled"]:
                answers[f"{name}_labels"] = replies[0][1]
            assert all(flag == (scores[0, 1] >= 0.5) for scores, _, flag in replies)
        np.savez(ROOT / "output" / (entry["case"].replace("/", "_") + ".npz"), **answers)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        line = {"case": entry["case"], "time_s": time.perf_counter() - begin_s, "peak_bytes": peak}
        sys.stderr.write("medbench-case " + json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
