"""The grammar of lifecycle policies: each line of section 11 of ecr-semantics, and what AWS says to a breach of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrlab.cloud.core.errors import InvalidParameter
from ecrlab.cloud.core.lifecycle import Action, Policy, Rule, Selection, parse

DAYS = {"countUnit": "days"}
EXPIRE = {"type": "expire"}
ARCHIVE = {"type": "transition", "targetStorageClass": "archive"}
COUNT = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}
PUSHED = {"tagStatus": "any", "countType": "sinceImagePushed", **DAYS, "countNumber": 14}
PULLED = {"tagStatus": "any", "countType": "sinceImagePulled", **DAYS, "countNumber": 90}
TRANSITIONED = {
    "tagStatus": "any",
    "countType": "sinceImageTransitioned",
    "storageClass": "archive",
    **DAYS,
    "countNumber": 90,
}


CONSTRAINT = "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: '"


def rule(priority: Any = 1, selection: Any = COUNT, action: Any = EXPIRE, **more: Any) -> dict[str, Any]:
    return {"rulePriority": priority, "selection": selection, "action": action, **more}


def tagged(*prefixes: str, **more: Any) -> dict[str, Any]:
    return {**COUNT, "tagStatus": "tagged", **({"tagPrefixList": list(prefixes)} if prefixes else {}), **more}


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


def text(document: Any) -> str:
    return json.dumps(document).ljust(100)


def read(*rules: Any) -> Policy:
    return parse(text({"rules": list(rules)}))


def detail_of(error: pytest.ExceptionInfo[InvalidParameter]) -> str:
    opening = f"{CONSTRAINT}Lifecycle policy validation failure: "
    assert error.value.code == "InvalidParameterException"
    assert error.value.message.startswith(opening)
    assert error.value.message.endswith("'")
    return error.value.message.removeprefix(opening)[:-1]


def test_when_a_policy_is_read_then_every_part_is_there_in_priority_order() -> None:
    selection = tagged(tagPatternList=["prod*", "*-ok"], countNumber=5)
    assert read(rule(20, TRANSITIONED), rule(3, selection, ARCHIVE, description="keep five")) == Policy(
        (
            Rule(
                3,
                Selection("tagged", "imageCountMoreThan", 5, patterns=("prod*", "*-ok")),
                Action("TRANSITION", "ARCHIVE"),
                "keep five",
            ),
            Rule(
                20,
                Selection("any", "sinceImageTransitioned", 90, storage_class="ARCHIVE"),
                Action("EXPIRE"),
            ),
        )
    )


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([rule(1, PUSHED)], id="sinceImagePushed may expire"),
        pytest.param([rule(1, PUSHED, ARCHIVE)], id="sinceImagePushed may archive"),
        pytest.param([rule(1, COUNT, ARCHIVE)], id="imageCountMoreThan may archive"),
        pytest.param([rule(1, PULLED, ARCHIVE)], id="sinceImagePulled archives"),
        pytest.param([rule(1, TRANSITIONED)], id="sinceImageTransitioned expires"),
        pytest.param([rule(1, {**PUSHED, "storageClass": "standard"})], id="standard is the default and may be said"),
        pytest.param([rule(7, tagged("a")), rule(1, tagged("b")), rule(900)], id="gaps between priorities"),
        pytest.param([rule(1, PULLED, ARCHIVE), rule(2, TRANSITIONED)], id="any once per storage class, AWS's example"),
        pytest.param(
            [rule(2, TRANSITIONED), rule(1, PUSHED, ARCHIVE)], id="any last of each class, whatever the order"
        ),
        pytest.param(
            [rule(5, PUSHED), rule(9, {**TRANSITIONED, "tagStatus": "untagged"})], id="any before another class"
        ),
        pytest.param(
            [rule(1, {**COUNT, "tagStatus": "untagged"}), rule(2, {**TRANSITIONED, "tagStatus": "untagged"})],
            id="untagged once per storage class",
        ),
        pytest.param(
            [
                rule(1, tagged("prod")),
                rule(2, {**TRANSITIONED, "tagStatus": "tagged", "tagPrefixList": ["prod"]}),
            ],
            id="a prefix once per storage class",
        ),
        pytest.param(
            [rule(1, tagged("a")), rule(2, tagged(tagPatternList=["b*"]))], id="lists of both kinds in one policy"
        ),
        pytest.param([rule(1, tagged(tagPatternList=["*test*1*2*3", "test*1*2*3*"]))], id="four wildcards"),
        pytest.param([rule(1, {**COUNT, "tagPrefixList": [], "tagPatternList": []})], id="empty lists are no lists"),
        pytest.param([rule(1, description="")], id="description may be empty"),
        pytest.param([rule(n, tagged(f"p{n}")) for n in range(1, 51)], id="50 rules"),
        pytest.param([rule(10**30, {**COUNT, "countNumber": 10**400})], id="numbers without a bound"),
    ],
)
def test_when_the_grammar_allows_it_then_the_policy_is_read(rules: list[Any]) -> None:
    policy = read(*rules)
    assert sorted(item["rulePriority"] for item in rules) == [item.priority for item in policy.rules]


MISSING = "object has missing required properties "
UNKNOWN = "object instance has properties which are not allowed by the schema: "
NO_TYPE = "does not match any allowed primitive type "
NO_MATCH = "instance failed to match exactly one schema (matched 0 out of {}): "
STANDARD_ONLY = (
    "SINCE_IMAGE_PUSHED, SINCE_IMAGE_PULLED and IMAGE_COUNT_MORE_THAN support the STANDARD storage class only"
)


@pytest.mark.parametrize(
    ("rules", "detail"),
    [
        pytest.param([], "array is too short: must have at least 1 elements but instance has 0 elements", id="no rule"),
        pytest.param(
            [rule(n, tagged(f"p{n}")) for n in range(1, 52)],
            "array is too long: must have at most 50 elements but instance has 51 elements",
            id="51 rules",
        ),
        pytest.param([7], f'instance type (integer) {NO_TYPE}(allowed: ["object"])', id="rule is no object"),
        pytest.param([{}], f'{MISSING}(["action","rulePriority","selection"])', id="empty rule"),
        pytest.param([rule(surprise=1, another=2)], f'{UNKNOWN}["another","surprise"]', id="unknown in a rule"),
        pytest.param(
            [rule(description=None)], f'instance type (null) {NO_TYPE}(allowed: ["string"])', id="description"
        ),
        # rulePriority >= 1, unique, whole
        pytest.param(
            [rule(0)], "numeric instance is lower than the required minimum (minimum: 1, found: 0)", id="priority 0"
        ),
        pytest.param([rule("1")], f'instance type (string) {NO_TYPE}(allowed: ["integer"])', id="priority is text"),
        pytest.param([rule(1.0)], f'instance type (number) {NO_TYPE}(allowed: ["integer"])', id="priority 1.0"),
        pytest.param([rule(True)], f'instance type (boolean) {NO_TYPE}(allowed: ["integer"])', id="priority true"),
        pytest.param([rule(1, tagged("a")), rule(1)], "Duplicate priority in multiple rules", id="priority twice"),
        pytest.param(
            [rule(1), rule(2, tagged("a"))],
            "Rule for tagStatus=ANY must have the lowest priority per storage class.",
            id="any before tagged",
        ),
        pytest.param(
            [rule(4, {**PUSHED, "tagStatus": "untagged"}), rule(3)],
            "Rule for tagStatus=ANY must have the lowest priority per storage class.",
            id="any before untagged, out of order",
        ),
        pytest.param(
            [rule(1), rule(2, PUSHED)], "Only one rule can specify tagStatus=ANY per storage class.", id="any twice"
        ),
        # tagStatus and its lists
        pytest.param(
            [rule(1, {**COUNT, "tagStatus": "x"})],
            'instance value ("x") not found in enum (possible values: ["tagged","untagged","any"])',
            id="tagStatus unknown",
        ),
        pytest.param(
            [rule(1, {**COUNT, "tagStatus": ["any"]})],
            'instance value (["any"]) not found in enum (possible values: ["tagged","untagged","any"])',
            id="tagStatus is a list",
        ),
        pytest.param(
            [rule(1, tagged())],
            "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.",
            id="tagged, no list",
        ),
        pytest.param(
            [rule(1, tagged(tagPrefixList=[]))],
            "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.",
            id="tagged, empty list",
        ),
        pytest.param(
            [rule(1, tagged("a", tagPatternList=["b"]))],
            "If policy has a tagged rule, it must specify only one of tagPrefixList or tagPatternList",
            id="tagged, both lists",
        ),
        pytest.param(
            [rule(1, {**COUNT, "tagStatus": "untagged", "tagPrefixList": ["a"]})],
            "Cannot specify tagPrefixList with tagStatus untagged",
            id="untagged with prefixes",
        ),
        pytest.param(
            [rule(1, {**COUNT, "tagPatternList": ["a"]})],
            "Cannot specify tagPatternList with tagStatus any",
            id="any with patterns",
        ),
        pytest.param(
            [rule(1, {**COUNT, "tagPatternList": ["a"], "tagPrefixList": ["a"]})],
            "Cannot specify tagPrefixList and tagPatternList with tagStatus any",
            id="any with both",
        ),
        pytest.param(
            [rule(1, tagged(tagPatternList=["test*1*2*3*4*5*6"]))],
            'Invalid tag pattern provided: "test*1*2*3*4*5*6" has more than 4 wildcards (*).',
            id="six wildcards",
        ),
        pytest.param(
            [rule(1, tagged(""))], 'string "" is too short (length: 0, required minimum: 1)', id="empty prefix"
        ),
        pytest.param(
            [rule(1, tagged(tagPrefixList="a"))], f'instance type (string) {NO_TYPE}(allowed: ["array"])', id="no list"
        ),
        pytest.param(
            [rule(1, tagged(tagPrefixList=[1]))],
            f'instance type (integer) {NO_TYPE}(allowed: ["string"])',
            id="no text",
        ),
        pytest.param(
            [rule(1, tagged("a", "b")), rule(2, tagged("c", "b"))],
            'Tag prefixes must be unique over the rules of a storage class: ["b"]',
            id="prefix twice",
        ),
        pytest.param(
            [rule(1, {**COUNT, "tagStatus": "untagged"}), rule(2, {**PUSHED, "tagStatus": "untagged"})],
            "Only one rule can select Untagged images per storage class.",
            id="untagged twice",
        ),
        # countType, countUnit, countNumber
        pytest.param(
            [rule(1, {**COUNT, "countType": "x"})],
            NO_MATCH.format(4) + 'countType "x" is not one of imageCountMoreThan, sinceImagePushed, sinceImagePulled, '
            "sinceImageTransitioned",
            id="countType unknown",
        ),
        *(
            pytest.param(
                [rule(1, without(selection, "countUnit"))],
                NO_MATCH.format(4) + f"countUnit days must be given with countType {selection['countType']}",
                id=f"{selection['countType']} without countUnit",
            )
            for selection in (PUSHED, PULLED, TRANSITIONED)
        ),
        pytest.param(
            [rule(1, {**PUSHED, "countUnit": None})],
            NO_MATCH.format(4) + "countUnit days must be given with countType sinceImagePushed",
            id="countUnit null",
        ),
        pytest.param(
            [rule(1, {**COUNT, **DAYS})],
            NO_MATCH.format(4) + "countUnit cannot be given with countType imageCountMoreThan",
            id="countUnit with imageCountMoreThan",
        ),
        pytest.param(
            [rule(1, {**COUNT, "countUnit": None})],
            NO_MATCH.format(4) + "countUnit cannot be given with countType imageCountMoreThan",
            id="countUnit null with imageCountMoreThan",
        ),
        pytest.param(
            [rule(1, {**PUSHED, "countUnit": "hours"})],
            'instance value ("hours") not found in enum (possible values: ["days"])',
            id="countUnit hours",
        ),
        pytest.param(
            [rule(1, {**COUNT, "countNumber": 0})],
            "numeric instance is lower than the required minimum (minimum: 1, found: 0)",
            id="countNumber 0",
        ),
        pytest.param([rule(1, without(COUNT, "countNumber"))], f'{MISSING}(["countNumber"])', id="no countNumber"),
        pytest.param([rule(1, {**COUNT, "x": 1})], f'{UNKNOWN}["x"]', id="unknown in a selection"),
        # storageClass
        pytest.param(
            [rule(1, {**COUNT, "storageClass": "ARCHIVE"})],
            'instance value ("ARCHIVE") not found in enum (possible values: ["standard","archive"])',
            id="storageClass in upper case",
        ),
        *(
            pytest.param(
                [rule(1, {**selection, "storageClass": "archive"}, action)], STANDARD_ONLY, id=f"archive, {name}"
            )
            for name, selection, action in (
                ("count", COUNT, EXPIRE),
                ("pushed", PUSHED, EXPIRE),
                ("pulled", PULLED, ARCHIVE),
            )
        ),
        pytest.param(
            [rule(1, without(TRANSITIONED, "storageClass"))],
            NO_MATCH.format(4) + "storageClass archive must be given with countType sinceImageTransitioned",
            id="sinceImageTransitioned without storageClass",
        ),
        pytest.param(
            [rule(1, {**TRANSITIONED, "storageClass": "standard"})],
            "SINCE_IMAGE_TRANSITIONED supports the ARCHIVE storage class only",
            id="sinceImageTransitioned of standard",
        ),
        # action
        pytest.param([rule(1, action={})], f'{MISSING}(["type"])', id="no action type"),
        pytest.param([rule(1, action={**EXPIRE, "x": 1})], f'{UNKNOWN}["x"]', id="unknown in an action"),
        pytest.param(
            [rule(1, action={"type": "delete"})],
            'instance value ("delete") not found in enum (possible values: ["expire","transition"])',
            id="action unknown",
        ),
        pytest.param(
            [rule(1, action={"type": "transition"})],
            "Could not map policyString into LifecyclePolicy: targetStorageClass must be given with action type "
            "transition.",
            id="transition to nowhere",
        ),
        pytest.param(
            [rule(1, action={**ARCHIVE, "targetStorageClass": "standard"})],
            'instance value ("standard") not found in enum (possible values: ["archive"])',
            id="transition to standard",
        ),
        pytest.param(
            [rule(1, action={**EXPIRE, "targetStorageClass": None})],
            NO_MATCH.format(2) + "targetStorageClass cannot be given with action type expire",
            id="expire with a null target",
        ),
        pytest.param(
            [rule(1, PULLED)], "SINCE_IMAGE_PULLED supports the TRANSITION action only.", id="sinceImagePulled expires"
        ),
        pytest.param(
            [rule(1, TRANSITIONED, ARCHIVE)],
            "SINCE_IMAGE_TRANSITIONED supports the EXPIRE action only.",
            id="sinceImageTransitioned archives",
        ),
        pytest.param(
            [rule(1, {**TRANSITIONED, "countNumber": 89})],
            "SINCE_IMAGE_TRANSITIONED needs a countNumber of at least 90: archived images have a minimum storage "
            "duration of 90 days.",
            id="archived under 90 days",
        ),
    ],
)
def test_when_the_grammar_forbids_it_then_aws_says_why(rules: list[Any], detail: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        read(*rules)
    assert detail_of(error) == detail


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        pytest.param("x" * 100, "Could not map policyString into LifecyclePolicy.", id="no JSON"),
        pytest.param(text([1]), "Could not map policyString into LifecyclePolicy.", id="no object"),
        pytest.param(text({"rules": float("nan")}), "Could not map policyString into LifecyclePolicy.", id="NaN"),
        pytest.param('{"rules":' + "[" * 15_000, "Could not map policyString into LifecyclePolicy.", id="too deep"),
        pytest.param(
            '{"rules":' + "9" * 20_000 + "}", "Could not map policyString into LifecyclePolicy.", id="too long a number"
        ),
        pytest.param(
            text({"rules": [rule()]}) + "\ud800", "Could not map policyString into LifecyclePolicy.", id="half a pair"
        ),
        pytest.param(text({"policy": 1}), 'object has missing required properties (["rules"])', id="no rules"),
        pytest.param(
            text({"rules": [rule()], "version": 1}),
            'object instance has properties which are not allowed by the schema: ["version"]',
            id="unknown at the top",
        ),
        pytest.param(
            text({"rules": {"rule": rule()}}),
            'instance type (object) does not match any allowed primitive type (allowed: ["array"])',
            id="rules is no array",
        ),
        pytest.param(
            text({"rules": [rule(1, {**COUNT, "tagStatus": "\ud800é"})]}),
            'instance value ("\\ud800é") not found in enum (possible values: ["tagged","untagged","any"])',
            id="a value that UTF-8 cannot carry",
        ),
    ],
)
def test_when_the_text_is_no_policy_then_aws_says_why(content: str, detail: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        parse(content)
    assert detail_of(error) == detail


def test_when_the_text_is_too_short_or_too_long_then_it_is_refused_and_at_the_bounds_it_is_read() -> None:
    shortest = json.dumps({"rules": [rule()]})
    assert len(shortest) > 100
    for content, bound in (
        ("{}".ljust(99), "greater than or equal to 100"),
        (shortest.ljust(30_721), "less than or equal to 30720"),
    ):
        with pytest.raises(InvalidParameter) as error:
            parse(content)
        assert error.value.message == (
            "Invalid parameter at 'lifecyclePolicyText' failed to satisfy constraint: 'Member must have length "
            f"{bound}'"
        )
    assert parse(shortest.ljust(30_720)) == parse(shortest)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KINDS = [item["countType"] for item in (COUNT, PUSHED, PULLED, TRANSITIONED)]
WORDS = st.sampled_from(
    ["tagged", "untagged", "any", "days", "standard", "archive", "expire", "transition", "prod*", "a*b*c*d*e*f", *KINDS]
)
PIECES = WORDS | st.lists(WORDS, max_size=2) | st.integers(0, 95) | JSON


@st.composite
def damaged_policies(draw: st.DrawFn) -> Any:
    """A policy of which some properties, on any level, hold something else, are missing or are new."""
    selections = st.sampled_from([COUNT, PUSHED, PULLED, TRANSITIONED, tagged("prod"), tagged(tagPatternList=["a*"])])
    actions = st.sampled_from([EXPIRE, ARCHIVE])
    rules = [
        rule(draw(st.integers(1, 4)), dict(draw(selections)), dict(draw(actions)))
        for _ in range(draw(st.integers(1, 3)))
    ]
    parts = [part for item in rules for part in (item, item["selection"], item["action"])]
    for _ in range(draw(st.integers(0, 2))):
        part = draw(st.sampled_from(parts))
        name = draw(st.text(max_size=3) | st.sampled_from(sorted(part) or ["x"]))
        if name in part and draw(st.booleans()):
            del part[name]
        else:
            part[name] = draw(PIECES)
    return {"rules": rules}


@settings(deadline=None, max_examples=200)
@given(document=damaged_policies() | JSON | st.builds(lambda item: {"rules": item}, JSON))
def test_when_the_json_is_anything_then_it_is_read_or_refused_in_words_that_can_be_sent(document: Any) -> None:
    refusal = None
    try:
        policy = parse(text(document))
    except InvalidParameter as error:
        refusal = error.message
    if refusal is None:
        assert [item.priority for item in policy.rules] == sorted({item["rulePriority"] for item in document["rules"]})
    else:
        assert refusal.startswith(CONSTRAINT)
        assert refusal.encode()


@settings(deadline=None, max_examples=50)
@given(content=st.text(min_size=100, max_size=200))
def test_when_the_text_is_anything_then_only_invalid_parameter_is_raised(content: str) -> None:
    with pytest.raises(InvalidParameter):
        parse(content)
