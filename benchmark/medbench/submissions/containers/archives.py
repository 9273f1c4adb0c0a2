"""Reading of saved images without an engine, docker-archive and OCI layouts, and reproducible archives.

Sources: ``docker save`` (manifest.json) and the OCI image layout 1.0 (index.json).
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path

EPOCH = 315532800
"""The start of 1980, the first moment that a zip can name."""
_SMALL = 4 << 20
_LEVEL = 4
"""Of gzip: images are packed in half the time that level 6 takes, 3 % larger."""
_MAGIC = {
    "gz": b"\x1f\x8b",
    "xz": b"\xfd7zXZ",
    "bz2": b"BZh",
    "zst": b"\x28\xb5\x2f\xfd",
}


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Facts of a saved image.

    Attributes:
        format: of the archive.
        compression: ``none``, ``gz``, ``xz``, ``bz2`` or ``zst``.
        images: number of images in the archive; the other facts are of the first.
        image_id: ``sha256:…`` of its configuration.
        architecture: e.g. ``amd64``.
        system: e.g. ``linux``.
        user: user of the configuration, empty where it has none.
        entrypoint: entrypoint of the configuration.
        command: command of the configuration.
        environment: variables.
        labels: of the image.
        files: path -> size in bytes, removed ones left out.
        image_bytes: uncompressed size of all layers.
    """

    format: Literal["docker-archive", "oci-archive"]
    compression: str
    images: int
    image_id: str
    architecture: str
    system: str
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    files: Mapping[str, int]
    image_bytes: int


def compression_of(path: Path) -> str:
    """Compression of a file, by its first bytes."""
    with open(path, "rb") as stream:
        start = stream.read(6)
    return next((name for name, magic in _MAGIC.items() if start.startswith(magic)), "none")


def read_archive(path: Path) -> ImageFacts:
    """Facts of a saved image, read in one pass.

    Raises:
        MedbenchError: ``archive.missing``, ``archive.compression`` for zstandard, or ``archive.unreadable``
            for what is no image.
    """
    if not path.is_file():
        raise MedbenchError(
            "archive.missing", f"{path}: there is no such archive.", "medbench submit save FILE"
        )
    compression = compression_of(path)
    if compression == "zst":
        raise MedbenchError(
            "archive.compression", f"{path}: is packed by zstandard.", "Unpack it: platforms take gzip."
        )
    try:
        documents, layers = _members(path)
        return _facts(compression, documents, layers)
    except (
        tarfile.TarError, EOFError, OSError, zlib.error, ValueError, LookupError, TypeError, AttributeError
    ) as error:  # fmt: skip
        raise MedbenchError(
            "archive.unreadable",
            f"{path}: is no saved image ({type(error).__name__}: {error}).",
            "Save it again: docker save IMAGE | gzip.",
        ) from error


def write_zip(folder: Path, path: Path) -> None:
    """Write the files of a folder, and of those in it, as a zip; the same files give the same bytes."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            entry.file_size = file.stat().st_size
            with file.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target)


def write_tar(files: Mapping[str, Path], path: Path) -> None:
    """Write files as a gzipped tar, by their names in it; the same files give the same bytes."""
    with atomic_path(path) as temporary, _compressed_tar(temporary) as archive:
        for name, file in files.items():
            archive.add(file.resolve(), arcname=name, filter=_without_owner_and_time)


def pack_image(source: Path, tag: str, path: Path) -> None:
    """Gzip a docker-archive under one name of its image, without owners and times.

    Engines name images differently in what they save (podman puts ``localhost/`` before), so that the
    commands printed for one would not work on the archive of the other.

    Raises:
        tarfile.TarError: for what is no archive.
    """
    with (
        tarfile.open(source) as plain,
        atomic_path(path) as temporary,
        _compressed_tar(temporary) as archive,
    ):
        for member in plain:
            content = plain.extractfile(member) if member.isfile() else None
            if member.name == "manifest.json" and content is not None:
                entries = json.load(content)
                for entry in entries:
                    entry["RepoTags"] = [tag]
                data = json.dumps(entries).encode()
                member.size, content = len(data), io.BytesIO(data)
            elif member.name == "repositories":
                continue
            archive.addfile(_without_owner_and_time(member), content)


def source_date_epoch() -> int:
    """Date of builds in seconds: ``SOURCE_DATE_EPOCH``, else the start of 1980.

    Raises:
        MedbenchError: ``build.date`` where that is no number of seconds.
    """
    setting = os.environ.get("SOURCE_DATE_EPOCH") or str(EPOCH)
    if not setting.isdecimal():
        raise MedbenchError(
            "build.date",
            f"SOURCE_DATE_EPOCH={setting}: is no number of seconds.",
            "Correct it, or unset it for 1980.",
        )
    return int(setting)


def make_uniform(folder: Path) -> None:
    """Set one date and the modes 0644 and 0755 for all files and folders below a folder.

    The same files then give the same image.
    """
    moment = source_date_epoch()
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            is_program = path.is_dir() or bool(path.stat().st_mode & 0o100)
            path.chmod(0o755 if is_program else 0o644)
            os.utime(path, (moment, moment))


@contextlib.contextmanager
def _compressed_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A gzipped tar whose bytes depend on its members alone."""
    with (
        open(path, "wb") as stream,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=stream, mtime=0) as gz,
        tarfile.open(fileobj=gz, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        yield archive


def _without_owner_and_time(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A member of a tar without owner and time."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode, member.mtime = 0o755 if member.isdir() else 0o644, 0
    return member


@dataclass(frozen=True, slots=True)
class _Layer:
    names: Mapping[str, int]
    size: int


def _members(path: Path) -> tuple[dict[str, bytes], dict[str, _Layer]]:
    """Small JSON documents and listed layers, by their name in the archive."""
    documents: dict[str, bytes] = {}
    layers: dict[str, _Layer] = {}
    links: dict[str, str] = {}
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            if member.issym() or member.islnk():
                links[member.name] = (
                    _beside(member.name, member.linkname) if member.issym() else member.linkname
                )
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is None:
                continue
            if member.size <= _SMALL:
                content = stream.read()
                if content.lstrip()[:1] in (b"{", b"["):
                    documents[member.name] = content
                    continue
                layers |= _listed(member.name, content)
            else:
                with tarfile.open(fileobj=stream, mode="r|*") as layer:
                    layers[member.name] = _listing(layer)
    layers |= {name: layers[target] for name, target in links.items() if target in layers}
    return documents, layers


def _beside(name: str, target: str) -> str:
    parts = [*name.split("/")[:-1]]
    for part in target.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _listed(name: str, content: bytes) -> dict[str, _Layer]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:*") as layer:
            return {name: _listing(layer)}
    except tarfile.TarError:
        return {}


def _listing(layer: tarfile.TarFile) -> _Layer:
    names = {
        member.name.removeprefix("./").lstrip("/"): member.size if member.isfile() else 0 for member in layer
    }
    return _Layer(names, sum(names.values()))


def _facts(compression: str, documents: Mapping[str, bytes], layers: Mapping[str, _Layer]) -> ImageFacts:
    if "manifest.json" in documents:
        kind: Literal["docker-archive", "oci-archive"] = "docker-archive"
        entries = json.loads(documents["manifest.json"])
        count, config_name, layer_names = len(entries), entries[0]["Config"], entries[0]["Layers"]
    elif "index.json" in documents:
        kind = "oci-archive"
        manifests = json.loads(documents["index.json"])["manifests"]
        manifest = json.loads(documents[_blob(manifests[0])])
        count, config_name = len(manifests), _blob(manifest["config"])
        layer_names = [_blob(layer) for layer in manifest["layers"]]
    else:
        raise LookupError("it has neither manifest.json nor index.json")
    description = json.loads(documents[config_name])
    config: dict[str, Any] = description.get("config") or {}
    stack = [layers[name] for name in layer_names]
    return ImageFacts(
        format=kind,
        compression=compression,
        images=count,
        image_id="sha256:" + hashlib.sha256(documents[config_name]).hexdigest(),
        architecture=description.get("architecture", ""),
        system=description.get("os", ""),
        user=config.get("User") or "",
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        environment=dict(entry.partition("=")[::2] for entry in config.get("Env") or ()),
        labels=config.get("Labels") or {},
        files=_merged(stack),
        image_bytes=sum(layer.size for layer in stack),
    )


def _blob(descriptor: Mapping[str, str]) -> str:
    return "blobs/" + descriptor["digest"].replace(":", "/", 1)


def _merged(stack: list[_Layer]) -> dict[str, int]:
    """Files of all layers; ``.wh.NAME`` hides what lower layers have there, ``.wh..wh..opq`` a folder."""
    files: dict[str, int] = {}
    for layer in stack:
        marks = [name.rpartition("/") for name in layer.names if name.rpartition("/")[2].startswith(".wh.")]
        for folder, slash, last in marks:
            inside = f"{folder}{slash}"
            removal = inside if last == ".wh..wh..opq" else inside + last.removeprefix(".wh.")
            below = removal if removal.endswith("/") or not removal else f"{removal}/"
            files = {path: n for path, n in files.items() if path != removal and not path.startswith(below)}
        own = {name: size for name, size in layer.names.items() if "/.wh." not in f"/{name}"}
        files |= own
    return files
