"""Overview of platforms: the challenges and formats of each."""

from __future__ import annotations

from medbench.submissions.platforms import list_platforms, load_platform
from medbench.submissions.platforms.base import Platform

_DELIVERED = {"image": "container image", "bundle": "zip of", "table": "table"}
_NOTHING = "–"


def platform_rows() -> list[dict[str, str]]:
    """Rows of a table of the platforms and their formats."""
    return [
        {
            "platform": name,
            "for": ", ".join(platform.challenges) or "any",
            "delivers": " ".join([_DELIVERED[platform.delivers], ", ".join(platform.bundle_files)]).strip(),
            **_call(platform),
            "source": platform.source,
        }
        for name in list_platforms()
        for platform in [load_platform(name)]
    ]


def _call(platform: Platform) -> dict[str, str]:
    """Folders, weights and starts of a container; a zip is imported, and a table is read."""
    if platform.delivers != "image":
        weights = "in the zip" if platform.delivers == "bundle" else _NOTHING
        return {"inputs": _NOTHING, "outputs": _NOTHING, "weights": weights, "started": _NOTHING}
    return {
        "inputs": ", ".join(mount.path for mount in platform.mounts if mount.role == "input"),
        "outputs": ", ".join(mount.path for mount in platform.mounts if mount.role == "output"),
        "weights": f"baked or {platform.model_folder}" if platform.model_folder else "baked",
        "started": "a case" if platform.per_case else "for all cases",
    }
