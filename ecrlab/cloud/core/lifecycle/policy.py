"""Reading a lifecycle policy: its grammar and what ECR says to one that breaks it (ecr-semantics section 11).

Where the words of AWS are known they are used: those of its validator (see `schema`), and, as public repositories quote
them, those for priorities that are given twice, for `tagged` with no or with both lists, for the single rule of
`untagged`, for the place of `any`, for patterns, and for the STANDARD storage class. "Instance failed to match exactly
one schema" is all that AWS says of a selection or an action whose parts do not go together; here the reason follows it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast

from ecrlab.cloud.core.errors import InvalidParameter
from ecrlab.cloud.core.lifecycle.patterns import MAX_WILDCARDS
from ecrlab.cloud.core.lifecycle.schema import (
    check_array,
    check_enum,
    check_object,
    check_positive,
    check_text,
    refusal,
    show,
)

MIN_CHARACTERS = 100  # botocore model, LifecyclePolicyText
MAX_CHARACTERS = 30_720
MAX_RULES = 50  # UG/service-quotas
MIN_ARCHIVE_DAYS = 90  # UG/archive-image: no policy deletes an image that was archived for less

TagStatus = Literal["tagged", "untagged", "any"]
CountType = Literal["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"]
StorageClass = Literal["STANDARD", "ARCHIVE"]

_TAG_STATUSES = ("tagged", "untagged", "any")
_COUNT_TYPES = ("imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned")
_TAG_LISTS = ("tagPrefixList", "tagPatternList")
_UNREADABLE = "Could not map policyString into LifecyclePolicy"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which images a rule is about, and when they are due.

    `prefixes` and `patterns` (one of the two, for "tagged" only) must all be met, each by any tag. `count_number` is a
    number of images with "imageCountMoreThan", otherwise days.
    """

    tag_status: TagStatus
    count_type: CountType
    count_number: int
    prefixes: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    storage_class: StorageClass = "STANDARD"


@dataclass(frozen=True, slots=True)
class Action:
    """What a rule does: delete an image ("EXPIRE"), or move it to another storage class ("TRANSITION")."""

    type: Literal["EXPIRE", "TRANSITION"]
    target_storage_class: Literal["ARCHIVE"] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule. The lower the number, the higher the priority."""

    priority: int
    selection: Selection
    action: Action
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a policy, in the order of their priority numbers."""

    rules: tuple[Rule, ...]


def parse(text: str) -> Policy:
    """Read the text of a policy. Raises InvalidParameter, in AWS's words, for anything that the grammar does not allow.

    Of several faults the first is told: those of a rule's own form in the order of the rules, then those between rules.
    """
    for bound, words, broken in (
        (MIN_CHARACTERS, "greater", len(text) < MIN_CHARACTERS),
        (MAX_CHARACTERS, "less", len(text) > MAX_CHARACTERS),
    ):
        if broken:
            raise InvalidParameter("lifecyclePolicyText", f"Member must have length {words} than or equal to {bound}")
    try:
        document = check_object(_load(text), ["rules"])
        rules = [_rule(item) for item in check_array(document["rules"], least=1, most=MAX_RULES)]
    except RecursionError:  # nested too deep, to read or to show
        raise refusal(f"{_UNREADABLE}.") from None
    rules.sort(key=lambda rule: rule.priority)
    _check_together(rules)
    return Policy(tuple(rules))


def _load(text: str) -> Any:
    try:
        text.encode()  # half a surrogate pair could not be stored
        document = json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        raise refusal(f"{_UNREADABLE}.") from None
    if not isinstance(document, dict):
        raise refusal(f"{_UNREADABLE}.")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _rule(value: Any) -> Rule:
    document = check_object(value, ["rulePriority", "selection", "action"], ["description"])
    priority = check_positive(document["rulePriority"])
    description = check_text(document["description"]) if "description" in document else None
    selection = _selection(document["selection"])
    action = _action(document["action"])
    kind = selection.count_type
    # [D] UG/lifecycle_policy_examples says that these must go together; the words are ours.
    if kind == "sinceImagePulled" and action.type != "TRANSITION":
        raise refusal("SINCE_IMAGE_PULLED supports the TRANSITION action only.")
    if kind == "sinceImageTransitioned" and action.type != "EXPIRE":
        raise refusal("SINCE_IMAGE_TRANSITIONED supports the EXPIRE action only.")
    return Rule(priority, selection, action, description)


def _selection(value: Any) -> Selection:
    required = ["tagStatus", "countType", "countNumber"]
    document = check_object(value, required, [*_TAG_LISTS, "storageClass", "countUnit"])
    tag_status = cast(TagStatus, check_enum(document["tagStatus"], _TAG_STATUSES))
    count_number = check_positive(document["countNumber"])
    prefixes, patterns = (_strings(document[key]) if key in document else () for key in _TAG_LISTS)
    _check_tags(tag_status, prefixes, patterns)
    count_type = _count_type(document)
    storage_class = _storage_class(document, count_type)
    if count_type == "sinceImageTransitioned" and count_number < MIN_ARCHIVE_DAYS:
        raise refusal(
            f"SINCE_IMAGE_TRANSITIONED needs a countNumber of at least {MIN_ARCHIVE_DAYS}: archived images have a "
            f"minimum storage duration of {MIN_ARCHIVE_DAYS} days."
        )
    return Selection(tag_status, count_type, count_number, prefixes, patterns, storage_class)


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(check_text(item, least=1) for item in check_array(value, least=0, most=MAX_CHARACTERS))


def _check_tags(tag_status: TagStatus, prefixes: Sequence[str], patterns: Sequence[str]) -> None:
    # [U] an empty list is taken as one that was left out.
    if prefixes and patterns:
        raise refusal(
            "If policy has a tagged rule, it must specify only one of tagPrefixList or tagPatternList"
            if tag_status == "tagged"
            else f"Cannot specify tagPrefixList and tagPatternList with tagStatus {tag_status}"
        )
    if tag_status == "tagged" and not (prefixes or patterns):
        raise refusal("Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.")
    if tag_status != "tagged" and (prefixes or patterns):
        name = "tagPrefixList" if prefixes else "tagPatternList"
        raise refusal(f"Cannot specify {name} with tagStatus {tag_status}")
    for pattern in patterns:
        if pattern.count("*") > MAX_WILDCARDS:
            raise refusal(f"Invalid tag pattern provided: {show(pattern)} has more than {MAX_WILDCARDS} wildcards (*).")


def _count_type(document: dict[str, Any]) -> CountType:
    unit = document.get("countUnit")
    if unit is not None:
        check_enum(unit, ["days"])
    kind = document["countType"]
    if kind not in _COUNT_TYPES:
        raise _mismatch(4, f"countType {show(kind)} is not one of {', '.join(_COUNT_TYPES)}")
    if kind == "imageCountMoreThan" and "countUnit" in document:
        raise _mismatch(4, "countUnit cannot be given with countType imageCountMoreThan")
    if kind != "imageCountMoreThan" and unit is None:
        raise _mismatch(4, f"countUnit days must be given with countType {kind}")
    return cast(CountType, kind)


def _storage_class(document: dict[str, Any], count_type: CountType) -> StorageClass:
    given = document.get("storageClass")
    if "storageClass" in document:
        check_enum(given, ["standard", "archive"])
    if count_type == "sinceImageTransitioned":
        if given is None:
            raise _mismatch(4, "storageClass archive must be given with countType sinceImageTransitioned")
        if given != "archive":
            raise refusal("SINCE_IMAGE_TRANSITIONED supports the ARCHIVE storage class only")
        return "ARCHIVE"
    if given == "archive":
        raise refusal(
            "SINCE_IMAGE_PUSHED, SINCE_IMAGE_PULLED and IMAGE_COUNT_MORE_THAN support the STANDARD storage class only"
        )
    return "STANDARD"


def _action(value: Any) -> Action:
    document = check_object(value, ["type"], ["targetStorageClass"])
    kind = check_enum(document["type"], ["expire", "transition"])
    target = document.get("targetStorageClass")
    if target is not None:
        check_enum(target, ["archive"])
    if kind == "expire":
        if "targetStorageClass" in document:
            raise _mismatch(2, "targetStorageClass cannot be given with action type expire")
        return Action("EXPIRE")
    if target is None:
        # Not the sentence that one would expect, but the one that was reported.
        raise refusal(f"{_UNREADABLE}: targetStorageClass must be given with action type transition.")
    return Action("TRANSITION", "ARCHIVE")


def _mismatch(schemas: int, reason: str) -> InvalidParameter:
    return refusal(f"instance failed to match exactly one schema (matched 0 out of {schemas}): {reason}")


def _check_together(rules: Sequence[Rule]) -> None:
    if len({rule.priority for rule in rules}) < len(rules):
        raise refusal("Duplicate priority in multiple rules")
    for storage_class in ("STANDARD", "ARCHIVE"):
        _check_class([rule.selection for rule in rules if rule.selection.storage_class == storage_class])


def _check_class(selections: Sequence[Selection]) -> None:
    # [D] UG/lifecycle_policy_examples archives by one rule for `any` and expires by another: each class has its own.
    statuses = [selection.tag_status for selection in selections]
    if statuses.count("untagged") > 1:
        raise refusal("Only one rule can select Untagged images per storage class.")
    if statuses.count("any") > 1:
        raise refusal("Only one rule can specify tagStatus=ANY per storage class.")
    if "any" in statuses[:-1]:
        raise refusal("Rule for tagStatus=ANY must have the lowest priority per storage class.")
    seen: set[str] = set()
    for selection in selections:
        if shared := seen.intersection(selection.prefixes):
            raise refusal(f"Tag prefixes must be unique over the rules of a storage class: {show(sorted(shared))}")
        seen.update(selection.prefixes)
