"""A server that mounts /input and /output and starts the image once."""

from pathlib import Path

from medbench.submissions.platforms.folders import FolderPlatform


class ExampleServer(FolderPlatform):
    """Reads images below /input, writes one mask of each below /output."""

    name = "example-server"
    title = "the example's server"
    challenges = ("example_discs", "kpis_patch")
    source = "the example's manual"

    def place(self, case, file):
        return Path(case.facts["group"], case.facts["slide"], "img", file.name)

    def steps(self, submission, archive):
        return (f"podman load --input {archive.path}", f"podman run --network none {archive.image}")
