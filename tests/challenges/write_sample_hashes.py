"""Draw synthetic samples and write the hashes of their images into the package.

    python tests/challenges/write_sample_hashes.py [DATA_SET …]

Without names it draws those that the list lacks: to be run when a ``sample_version`` is raised. Hashes of
earlier versions stay in the list.
"""

import json
import sys
import tempfile
from pathlib import Path

from medbench.challenges import all_challenges
from medbench.core.files import read_json, write_text
from medbench.core.progress import SilentProgress
from medbench.running.samples import HASHES, image_hashes, sample_folder


def write(names=()):
    hashes = read_json(HASHES) if HASHES.exists() else {}
    releases = {}
    for challenge in all_challenges():
        releases.setdefault(challenge.release.data_set, []).append(challenge)
    for data_set, challenges in releases.items():
        key = f"{data_set}-{challenges[0].release.sample_version}"
        if data_set not in names if names else key in hashes:
            continue
        with tempfile.TemporaryDirectory() as folder:
            root = sample_folder(challenges[0], SilentProgress(), Path(folder) / "sample")
            found = {entry for challenge in challenges for entry in image_hashes(challenge, root)}
        hashes[key] = sorted(found)
        print(key, len(found), flush=True)  # noqa: T201
        write_text(HASHES, json.dumps(dict(sorted(hashes.items())), indent=0) + "\n")


if __name__ == "__main__":
    write(sys.argv[1:])
