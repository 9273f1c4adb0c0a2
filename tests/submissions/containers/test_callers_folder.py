"""Output folders that belong to whoever starts a platform's program, mode 0755, with that platform's user."""

import os
import sysconfig

import pytest

from medbench.submissions.containers.image_runner import ImageRunner
from medbench.submissions.containers.users import ContainerUser, container_user
from medbench.submissions.rehearse.rehearsal import rehearse

PACKAGES = ["--volume", f"{sysconfig.get_path('purelib')}:/packages:ro", "--env", "PYTHONPATH=/packages"]
CALLER = 4242
PLATFORMS = [
    "brats-docker",  # the one whose programs start a container both as their caller and as root
    *(
        pytest.param(name, marks=pytest.mark.exhaustive)
        for name in ("kpis-patch", "kpis-slide", "brats-mlcube", "medperf", "synapse-docker")
    ),
]


def runners(engine, build, users):
    root, limits = build.folder / "rehearsal" / "root", build.platform.limits
    return [
        ImageRunner(engine, build.tag, root, build.platform.mounts, limits, PACKAGES, user) for user in users
    ]


@pytest.mark.container
@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_writes_into_the_callers_folder(engine, brats, patches, slides, platform):
    own = {"kpis-patch": patches, "kpis-slide": slides}.get(platform)
    made = brats(platform, packages="base") if own is None else own(packages="base")
    users = [ContainerUser(runs_as, CALLER, CALLER) for runs_as in made.platform.runs_as]
    assert users
    engine.build(made.context, made.tag)
    result = rehearse(made, runners=runners(engine, made, users), count=1)
    assert [one for one in result.findings if one.severity != "note"] == []
    assert result.identical == len(users)
    output = next(mount.path for mount in made.platform.mounts if mount.role == "output")
    state = (made.folder / "rehearsal" / "root" / output.lstrip("/")).stat()
    assert (state.st_uid, state.st_mode & 0o777) == (CALLER if os.getuid() == 0 else os.getuid(), 0o755)
    if "root" in made.platform.runs_as:
        (runner,) = runners(engine, made, [OTHER])
        refused = runner.run(made.platform.variants(made.submission)[0].arguments, 120)
        assert not refused.ok
        assert "cannot be written by user 10001:10001 (Permission denied)" in refused.last_line


class _Other(ContainerUser):
    """The user of other images, to whom nobody gave the folder."""

    def options(self):
        yield from ("--cap-drop", "ALL", "--user", "10001:10001")


OTHER = _Other("root", CALLER, CALLER)


def test_the_caller_is_whoever_runs_medbench_and_for_root_an_ordinary_user(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert container_user("caller", "podman") == ContainerUser("caller", 1000, 1000)
    monkeypatch.setattr(os, "getuid", lambda: 501)
    monkeypatch.setattr(os, "getgid", lambda: 20)
    user = container_user("caller", "podman")
    assert list(user.options()) == ["--cap-drop", "ALL", "--user", "501:20", "--userns=keep-id"]
    assert list(container_user("root", "docker").options()) == []
    assert list(container_user("image", "docker").options()) == ["--cap-drop", "ALL"]
