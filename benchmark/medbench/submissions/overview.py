"""Overview of platforms: the challenges and formats of each."""

from __future__ import annotations

from medbench.submissions.platforms import list_platforms, load_platform

_DELIVERED = {"image": "container image", "bundle": "zip file", "table": "table"}


def platform_rows() -> list[dict[str, str]]:
    """Rows of a table of the platforms and their formats."""
    return [
        {
            "platform": name,
            "for": ", ".join(platform.challenges) or "any",
            "delivers": _DELIVERED[platform.delivers],
            "inputs": ", ".join(mount.path for mount in platform.mounts if mount.role == "input"),
            "outputs": ", ".join(mount.path for mount in platform.mounts if mount.role == "output"),
            "weights": f"baked or {platform.model_folder}" if platform.model_folder else "baked",
            "started": "a case" if platform.per_case else "for all cases",
            "source": platform.source,
        }
        for name in list_platforms()
        for platform in [load_platform(name)]
    ]
