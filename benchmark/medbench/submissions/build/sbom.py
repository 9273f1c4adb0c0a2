"""The bill of materials of an image: its packages with versions and licences, and its weights (CycloneDX)."""

from __future__ import annotations

import importlib.metadata as metadata
import importlib.util
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from medbench.core.files import sha256_json
from medbench.submissions.containers.archives import source_date_epoch

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

SBOM = "sbom.cdx.json"
_LONGEST_LICENCE = 120


def can_list_materials() -> bool:
    """Whether the library that writes the list is installed."""
    return importlib.util.find_spec("cyclonedx") is not None


def materials(name: str, versions: Mapping[str, str], weights_sha256: str | None) -> str:
    """A CycloneDX 1.6 document; the same packages and weights give the same text.

    Args:
        name: of the image.
        versions: name -> version of its packages, as they are installed here.
        weights_sha256: hash of the weights in the image or uploaded with it; ``None``: none.
    """
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    whole = Component(name=name, type=ComponentType.CONTAINER, bom_ref=name)
    moment = datetime.fromtimestamp(source_date_epoch(), UTC)
    identity = sha256_json([name, dict(versions), weights_sha256])
    bom = Bom(
        components=[_package(package, version) for package, version in versions.items()],
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, identity),
        metadata=BomMetaData(component=whole, timestamp=moment),
    )
    if weights_sha256 is not None:
        bom.components.add(_weights(weights_sha256))
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def _package(name: str, version: str) -> Component:
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    purl = PackageURL("pypi", name=name, version=version)
    return Component(
        name=name, version=version, purl=purl, bom_ref=purl.to_string(), licenses=_licences(name)
    )


def _weights(sha256: str) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        name="weights",
        version=sha256[:12],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="weights",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
    )


def _licences(name: str) -> list[License]:
    """Licence that a package states: an SPDX expression, or the first line of its own words."""
    from cyclonedx.factory.license import LicenseFactory

    facts = metadata.metadata(name)
    licences = [facts[name] for name in ("License-Expression", "License") if name in facts]
    words = next((text.strip().partition("\n")[0] for text in licences if text), "")
    return [LicenseFactory().make_from_string(str(words)[:_LONGEST_LICENCE])] if words else []
