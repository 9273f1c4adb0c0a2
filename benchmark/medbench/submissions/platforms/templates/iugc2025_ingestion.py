"""A stand-in for the organisers' ingestion program: import the bundle, give it images, keep its numbers."""

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = Path(os.environ.get("MEDBENCH_ROOT", "/"))


def main() -> None:
    """Every image by the bundle's ``model``."""
    sys.path.insert(0, str(HERE / "bundle"))
    network = importlib.import_module("model").model().load(str(HERE / "bundle" / "model.pickle"))
    for entry in json.loads((ROOT / "input" / "cases.json").read_text()):
        begin_s = time.perf_counter()
        with Image.open(ROOT / "input" / entry["image"]) as image:
            numbers = network.predict(image)
        (ROOT / "output" / f"{entry['case']}.json").write_text(json.dumps(list(numbers)))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        line = {"case": entry["case"], "time_s": time.perf_counter() - begin_s, "peak_bytes": peak}
        sys.stderr.write("medbench-case " + json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
