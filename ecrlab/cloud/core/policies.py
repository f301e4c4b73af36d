"""Repository and registry policies: kept and given back as they were put (ecr-semantics sections 8 and 17).

Their evaluation belongs to identity; here a text is checked for being a policy at all.
"""

from __future__ import annotations

import json
from typing import Any

from ecrlab.cloud.core.errors import InvalidParameter, RegistryPolicyNotFound, RepositoryPolicyNotFound
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.repositories import Repositories, Repository
from ecrlab.cloud.core.settings import Settings

KIND = "policy"
_MEMBERS = frozenset(
    ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
)
_VERSIONS = ("2012-10-17", "2008-10-17")


class Policies:
    """The policies of every repository and registry."""

    def __init__(self, settings: Settings, repositories: Repositories) -> None:
        self._settings = settings
        self._repositories = repositories

    def get(self, repository: Repository) -> str:
        """Return a repository's policy. Raises RepositoryPolicyNotFound."""
        policy, _lifecycle, _evaluated = self._repositories.texts(repository)
        if policy is None:
            raise RepositoryPolicyNotFound(repository.name, repository.registry.account)
        return policy

    def put(self, repository: Repository, text: str) -> None:
        """Replace a repository's policy. Raises InvalidParameter."""
        check_policy(text, "PolicyText", "repository")
        self._repositories.set_texts(repository, policy=text)

    def delete(self, repository: Repository) -> str:
        """Remove a repository's policy and return it. Raises RepositoryPolicyNotFound."""
        text = self.get(repository)
        self._repositories.set_texts(repository, policy=None)
        return text

    def get_of_registry(self, registry: Registry) -> str:
        """Return a registry's policy. Raises RegistryPolicyNotFound."""
        stored = self._settings.get(registry, KIND)
        if stored is None:
            raise RegistryPolicyNotFound(registry.account)
        text: str = stored.value
        return text

    def put_of_registry(self, registry: Registry, text: str) -> None:
        """Replace a registry's policy. Raises InvalidParameter."""
        check_policy(text, "PolicyText", "registry")
        self._settings.put(registry, KIND, text)

    def delete_of_registry(self, registry: Registry) -> str:
        """Remove a registry's policy and return it. Raises RegistryPolicyNotFound."""
        text = self.get_of_registry(registry)
        self._settings.delete(registry, KIND)
        return text


def check_policy(text: str, parameter: str, kind: str) -> None:
    """Raise InvalidParameter in AWS's words unless `text` is a resource policy."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not _is_policy(document):
        raise InvalidParameter(parameter, f"Invalid {kind} policy provided")


def _is_policy(document: Any) -> bool:
    if not isinstance(document, dict) or document.keys() - {"Version", "Id", "Statement"}:
        return False
    if document.get("Version", _VERSIONS[1]) not in _VERSIONS:
        return False
    statements = document.get("Statement")
    listed = statements if isinstance(statements, list) else [statements]
    return bool(listed) and all(_is_statement(statement) for statement in listed)


def _is_statement(statement: Any) -> bool:
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        return False
    one_of = (("Principal", "NotPrincipal"), ("Action", "NotAction"))
    return not statement.keys() - _MEMBERS and all((one in statement) != (other in statement) for one, other in one_of)
