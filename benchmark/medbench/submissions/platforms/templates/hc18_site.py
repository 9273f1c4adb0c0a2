"""A stand-in for the site: read the table with nothing but Python and look the images up."""

import csv
import json
import os
import resource
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = Path(os.environ.get("MEDBENCH_ROOT", "/"))
COLUMNS = ["filename", "center_x_mm", "center_y_mm", "semi_axes_a_mm", "semi_axes_b_mm", "angle_rad"]


def main() -> None:
    """One row an image."""
    with open(HERE / "bundle" / "hc18.csv", encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    if header != COLUMNS:
        sys.exit(f"hc18.csv: the columns are {', '.join(header)}")
    numbers = {row[0]: [float(value) for value in row[1:]] for row in rows}
    for name in json.loads((ROOT / "input" / "images.json").read_text()):
        begin_s = time.perf_counter()
        if name not in numbers:
            sys.exit(f"hc18.csv: has no row for {name}")
        case = name.removesuffix(".png")
        (ROOT / "output" / f"{case}.json").write_text(json.dumps(numbers[name]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        line = {"case": case, "time_s": time.perf_counter() - begin_s, "peak_bytes": peak}
        sys.stderr.write("medbench-case " + json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
