"""Operations on scans and their settings."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ecrlab.cloud.api.call import Call, read_image_id, write_image_id
from ecrlab.cloud.core.errors import RepositoryNotFound
from ecrlab.cloud.core.image import Image, ImageId
from ecrlab.cloud.core.pages import page_of
from ecrlab.cloud.core.scans import Scan

if TYPE_CHECKING:
    from ecrlab.cloud.scanning import Finding

_PROBLEMS_SHOWN = 3


def _start(call: Call) -> dict[str, Any]:
    image_id = read_image_id(call.parameters["imageId"])
    image = call.core.images.get(call.repository(), image_id)
    scan = call.core.scans.start(image)
    return {**_subject(image, image_id), "imageScanStatus": _status(scan)}


def _describe_findings(call: Call) -> dict[str, Any]:
    image_id = read_image_id(call.parameters["imageId"])
    image = call.core.images.get(call.repository(), image_id)
    scan = call.core.scans.get(image)
    answer = {**_subject(image, image_id), "imageScanStatus": _status(scan)}
    if scan.status != "COMPLETE":
        return answer
    page = page_of(scan.findings, call.limit, call.next_token)
    answer["imageScanFindings"] = {
        "imageScanCompletedAt": scan.completed_at,
        "vulnerabilitySourceUpdatedAt": scan.source_updated_at,
        # The counts are of the whole scan, on every page.
        "findingSeverityCounts": dict(Counter(finding.severity for finding in scan.findings)),
        "findings": [_finding(finding) for finding in page.items],
    }
    answer["nextToken"] = page.next_token
    return answer


def _batch_get_repository_configuration(call: Call) -> dict[str, Any]:
    configurations, failures = [], []
    for name in call.parameters["repositoryNames"]:
        try:
            repository = call.core.repositories.get(call.registry, name)
        except RepositoryNotFound as error:
            failures.append(
                {"repositoryName": name, "failureCode": "REPOSITORY_NOT_FOUND", "failureReason": error.message}
            )
            continue
        schedule = call.core.scanning.schedule(repository)
        configurations.append(
            {
                "repositoryArn": repository.arn,
                "repositoryName": name,
                "scanOnPush": schedule.on_push,
                "scanFrequency": schedule.frequency,
                "appliedScanFilters": [{"filter": item, "filterType": "WILDCARD"} for item in schedule.filters],
            }
        )
    return {"scanningConfigurations": configurations, "failures": failures}


def _get_registry_configuration(call: Call) -> dict[str, Any]:
    return {"registryId": call.registry.account, "scanningConfiguration": call.core.scanning.get(call.registry)}


def _put_registry_configuration(call: Call) -> dict[str, Any]:
    rules = call.parameters.get("rules", [])
    configuration = call.core.scanning.put(call.registry, call.parameters.get("scanType"), rules)
    return {"registryScanningConfiguration": configuration}


OPERATIONS = {
    "GetRegistryScanningConfiguration": _get_registry_configuration,
    "PutRegistryScanningConfiguration": _put_registry_configuration,
    "StartImageScan": _start,
    "DescribeImageScanFindings": _describe_findings,
    "BatchGetRepositoryScanningConfiguration": _batch_get_repository_configuration,
}


def _subject(image: Image, image_id: ImageId) -> dict[str, Any]:
    return {
        "registryId": image.repository.registry.account,
        "repositoryName": image.repository.name,
        "imageId": write_image_id(ImageId(image.digest, image_id.tag)),
    }


def _status(scan: Scan) -> dict[str, str]:
    # AWS says no more than the first sentence; what was passed over must not look clean, so it follows.
    notes = [f"Not evaluated: {problem}" for problem in scan.problems[:_PROBLEMS_SHOWN]]
    if len(scan.problems) > _PROBLEMS_SHOWN:
        notes.append(f"And {len(scan.problems) - _PROBLEMS_SHOWN} more.")
    return {"status": scan.status, "description": " ".join((scan.description, *notes))}


def _finding(finding: Finding) -> dict[str, Any]:
    attributes = {"package_version": finding.package_version, "package_name": finding.package_name}
    if finding.cvss_vector:
        version = finding.cvss_vector[5] if finding.cvss_vector.startswith("CVSS:") else "2"
        attributes[f"CVSS{version}_VECTOR"] = finding.cvss_vector
        if finding.cvss_score is not None:
            attributes[f"CVSS{version}_SCORE"] = str(finding.cvss_score)
    return {
        "name": finding.name,
        "description": finding.description,
        "uri": finding.uri,
        "severity": finding.severity,
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
    }
