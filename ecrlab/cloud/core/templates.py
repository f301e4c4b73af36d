"""Repository creation templates, and creation on push (ecr-semantics section 16)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ecrlab.cloud.core import mutability
from ecrlab.cloud.core.errors import (
    InvalidTag,
    RepositoryNotFound,
    TemplateAlreadyExists,
    TemplateNotFound,
    Validation,
)
from ecrlab.cloud.core.lifecycle import parse as parse_lifecycle
from ecrlab.cloud.core.pages import Page
from ecrlab.cloud.core.policies import check_policy
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.repositories import MAX_RESOURCE_TAGS, Repositories, Repository, check_tags
from ecrlab.cloud.core.settings import Setting, Settings

KIND = "template"
_FILTERS = "imageTagMutabilityExclusionFilters"
ROOT = "ROOT"
CREATE_ON_PUSH = "CREATE_ON_PUSH"
REPLICATION = "REPLICATION"
PULL_THROUGH_CACHE = "PULL_THROUGH_CACHE"


class Templates:
    """The creation templates of every registry. A template is kept in the members of the API."""

    def __init__(self, settings: Settings, repositories: Repositories) -> None:
        self._settings = settings
        self._repositories = repositories

    def create(self, registry: Registry, prefix: str, fields: Mapping[str, Any]) -> Setting:
        """Create a template. Raises TemplateAlreadyExists, Validation, InvalidParameter."""
        prefix = _named(prefix)
        if self._settings.get(registry, KIND, prefix):
            raise TemplateAlreadyExists(prefix, registry.account)
        _check(fields)
        return self._settings.put(registry, KIND, dict(fields), prefix)

    def update(self, registry: Registry, prefix: str, fields: Mapping[str, Any]) -> Setting:
        """Change the members that are given. Raises TemplateNotFound, Validation, InvalidParameter."""
        prefix = _named(prefix)
        changed = {**self.get(registry, prefix).value, **fields}
        if "imageTagMutability" in fields and _FILTERS not in fields:
            changed.pop(_FILTERS, None)  # they belong to the mode, and an empty list cannot be given
        _check(changed)
        return self._settings.put(registry, KIND, changed, prefix)

    def get(self, registry: Registry, prefix: str) -> Setting:
        """Return a template. Raises TemplateNotFound."""
        template = self._settings.get(registry, KIND, _named(prefix))
        if template is None:
            raise TemplateNotFound(prefix, registry.account)
        return template

    def delete(self, registry: Registry, prefix: str) -> Setting:
        """Remove a template and return it. Raises TemplateNotFound."""
        template = self.get(registry, prefix)
        self._settings.delete(registry, KIND, template.name)
        return template

    def describe(self, registry: Registry, *, limit: int, token: str | None = None) -> Page[Setting]:
        """Return templates in the order of their prefixes."""
        return self._settings.describe(registry, KIND, limit=limit, token=token)

    def for_push(self, registry: Registry, name: str, allow: Callable[[str], None]) -> Repository:
        """Return the repository that is pushed to, created if a template says so and the caller may.

        `allow` is asked for the action before; it raises what refuses the caller. Raises RepositoryNotFound.
        """
        try:
            return self._repositories.get(registry, name)
        except RepositoryNotFound:
            template = self._matching(registry, name, CREATE_ON_PUSH)
            if template is None:
                raise
        allow("CreateRepository")
        return self._create(registry, name, template)

    def for_copy(self, registry: Registry, name: str, reason: str) -> Repository:
        """Return the repository that a copy goes to, created by a template or, without one, with the defaults."""
        try:
            return self._repositories.get(registry, name)
        except RepositoryNotFound:
            return self._create(registry, name, self._matching(registry, name, reason) or {})

    def _matching(self, registry: Registry, name: str, reason: str) -> Mapping[str, Any] | None:
        """Return the template with the longest prefix that is for this name and this reason."""
        parts = name.split("/")[:-1]
        for prefix in (*("/".join(parts[:length]) for length in range(len(parts), 0, -1)), ROOT):
            template = self._settings.get(registry, KIND, prefix)
            if template and reason in template.value["appliedFor"]:
                value: Mapping[str, Any] = template.value
                return value
        return None

    def _create(self, registry: Registry, name: str, template: Mapping[str, Any]) -> Repository:
        encryption = template.get("encryptionConfiguration", {})
        repository = self._repositories.create(
            registry,
            name,
            tag_mutability=template.get("imageTagMutability", "MUTABLE"),
            mutability_filters=_filters(template),
            encryption_type=encryption.get("encryptionType", "AES256"),
            kms_key=encryption.get("kmsKey") or None,
            tags={tag["Key"]: tag["Value"] for tag in template.get("resourceTags", [])},
        )
        self._repositories.set_texts(
            repository,
            policy=template.get("repositoryPolicy") or None,
            lifecycle_policy=template.get("lifecyclePolicy") or None,
        )
        return repository


def _named(prefix: str) -> str:
    """Return the name that a template goes by: `team` and `team/` are the same prefix."""
    return prefix.removesuffix("/")


def _check(fields: Mapping[str, Any]) -> None:
    if not fields["appliedFor"]:
        raise Validation("appliedFor must name at least one of REPLICATION, PULL_THROUGH_CACHE and CREATE_ON_PUSH")
    encryption = fields.get("encryptionConfiguration", {}).get("encryptionType", "AES256")
    if (fields.get("resourceTags") or encryption != "AES256") and not fields.get("customRoleArn"):
        raise Validation("A template with resource tags or KMS encryption needs a customRoleArn")
    mutability.validate(fields.get("imageTagMutability", "MUTABLE"), _filters(fields))
    tags = {tag["Key"]: tag["Value"] for tag in fields.get("resourceTags", [])}
    if len(tags) > MAX_RESOURCE_TAGS:
        raise Validation(f"A repository can have no more than {MAX_RESOURCE_TAGS} tags")
    try:
        check_tags(tags)
    except InvalidTag as error:  # not a class that the template operations know
        raise Validation(error.message) from None
    if encryption == "AES256" and fields.get("encryptionConfiguration", {}).get("kmsKey"):
        raise Validation("A kmsKey can only be given with KMS or KMS_DSSE")
    if fields.get("lifecyclePolicy"):
        parse_lifecycle(fields["lifecyclePolicy"])
    if fields.get("repositoryPolicy"):
        check_policy(fields["repositoryPolicy"], "repositoryPolicy", "repository")


def _filters(fields: Mapping[str, Any]) -> Sequence[str]:
    return [item["filter"] for item in fields.get(_FILTERS, [])]
