"""Operations on replication backfills."""

from __future__ import annotations

from typing import Any

from ecrlab.cloud.api.call import Call, write_image_id
from ecrlab.cloud.core import Registry
from ecrlab.cloud.core.backfills import Backfill, Result

MAX_BACKFILLS = 50  # items on a page of ListReplicationBackfills (botocore model)


def _start(call: Call) -> dict[str, Any]:
    destination = call.parameters["destination"]
    target = Registry(destination["registryId"], destination["region"])
    return _brief(call.core.backfills.start(call.registry, target))


def _stop(call: Call) -> dict[str, Any]:
    return _brief(call.core.backfills.stop(call.registry, call.parameters["replicationBackfillId"]))


def _list(call: Call) -> dict[str, Any]:
    limit = call.parameters.get("maxResults", MAX_BACKFILLS)
    page = call.core.backfills.describe(call.registry, limit=limit, token=call.next_token)
    return {
        "registryId": call.registry.account,
        "backfills": [_summary(item) for item in page.items],
        "nextToken": page.next_token,
    }


def _describe_results(call: Call) -> dict[str, Any]:
    backfill = call.core.backfills.get(call.registry, call.parameters["replicationBackfillId"])
    page = call.core.backfills.results(
        backfill, limit=call.limit, token=call.next_token, status=call.parameters.get("resultStatusFilter")
    )
    return {
        "registryId": call.registry.account,
        **_summary(backfill),
        "results": [_result(item) for item in page.items],
        "nextToken": page.next_token,
    }


OPERATIONS = {
    "StartReplicationBackfill": _start,
    "StopReplicationBackfill": _stop,
    "ListReplicationBackfills": _list,
    "DescribeReplicationBackfillResults": _describe_results,
}


def _brief(backfill: Backfill) -> dict[str, Any]:
    return {
        "replicationBackfillId": backfill.id,
        "registryId": backfill.registry.account,
        "destination": {"region": backfill.destination.region, "registryId": backfill.destination.account},
        "status": backfill.status,
        "startedAt": backfill.started_at,
    }


def _summary(backfill: Backfill) -> dict[str, Any]:
    progress = backfill.progress
    members = {name: value for name, value in _brief(backfill).items() if name != "registryId"}
    return {
        **members,
        "endedAt": backfill.ended_at,
        "progress": progress
        and {
            "totalReplicationCount": progress.total,
            "completedReplicationCount": progress.completed,
            "failedReplicationCount": progress.failed,
            "failureCodes": progress.failure_codes,
        },
    }


def _result(result: Result) -> dict[str, Any]:
    return {
        "repositoryName": result.repository_name,
        "imageId": write_image_id(result.image_id),
        "status": result.status,
        "failureCode": result.failure_code,
        "subImageFailureCodes": result.sub_image_failure_codes,
    }
