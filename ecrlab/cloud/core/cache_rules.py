"""Pull through cache rules: which repositories are filled from which upstream (ecr-semantics section 15)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ecrlab.cloud.core.cache_errors import (
    PullThroughCacheRuleAlreadyExists,
    PullThroughCacheRuleNotFound,
    UnableToAccessSecret,
    UnsupportedUpstreamRegistry,
)
from ecrlab.cloud.core.errors import InvalidParameter, LimitExceeded, Validation
from ecrlab.cloud.core.pages import Page
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.settings import Setting, Settings
from ecrlab.cloud.core.upstream import Outside

KIND = "pull-through-cache"
ROOT = "ROOT"
MAX_RULES = 50  # UG/service-quotas

_HOSTS = {
    "ecr-public": r"public\.ecr\.aws",
    "quay": r"quay\.io",
    "k8s": r"registry\.k8s\.io",
    "docker-hub": r"registry-1\.docker\.io",
    "github-container-registry": r"ghcr\.io",
    "gitlab-container-registry": r"registry\.gitlab\.com",
    "azure-container-registry": r"[a-z0-9][a-z0-9-]*\.azurecr\.io",
    "chainguard": r"cgr\.dev",
    "ecr": r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com",
}
_NEED_SECRET = frozenset(
    ("docker-hub", "github-container-registry", "gitlab-container-registry", "azure-container-registry", "chainguard")
)
# Not AWS's: a registry on this machine, so that a lab without network has something to pull from.
LOOPBACK = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?")

# Paths of the distribution API name repositories freely; only such names become repositories (botocore model).
_NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")


class CacheRules:
    """The pull through cache rules of every registry. A rule is kept in the members of the API."""

    def __init__(self, settings: Settings, outside: Outside) -> None:
        self._settings = settings
        self._outside = outside

    async def create(self, registry: Registry, prefix: str, fields: Mapping[str, Any]) -> Setting:
        """Create a rule.

        Raises PullThroughCacheRuleAlreadyExists, UnsupportedUpstreamRegistry, InvalidParameter, Validation,
        LimitExceeded, SecretNotFound, UnableToAccessSecret.
        """
        prefix = _normal(prefix)
        url = fields["upstreamRegistryUrl"]
        rule = {
            **fields,
            "upstreamRegistry": _upstream_registry(url, fields.get("upstreamRegistry")),
            "upstreamRepositoryPrefix": _normal(fields.get("upstreamRepositoryPrefix", ROOT)),
        }
        _check(registry, prefix, rule)
        await self._check_secret(registry, rule.get("credentialArn"))
        if self._settings.get(registry, KIND, prefix):
            raise PullThroughCacheRuleAlreadyExists(prefix, registry.account)
        if self._settings.count(registry, KIND) >= MAX_RULES:
            raise LimitExceeded(f"A registry can have no more than {MAX_RULES} pull through cache rules")
        return self._settings.put(registry, KIND, rule, prefix)

    async def update(self, registry: Registry, prefix: str, fields: Mapping[str, Any]) -> Setting:
        """Change a rule's credentials. Raises PullThroughCacheRuleNotFound and what `create` does for them."""
        rule = {**self.get(registry, prefix).value, **fields}
        _check(registry, _normal(prefix), rule)
        await self._check_secret(registry, fields.get("credentialArn"))
        self.get(registry, prefix)  # it may have been deleted in the meantime
        return self._settings.put(registry, KIND, rule, _normal(prefix))

    def get(self, registry: Registry, prefix: str) -> Setting:
        """Return a rule. Raises PullThroughCacheRuleNotFound."""
        rule = self._settings.get(registry, KIND, _normal(prefix))
        if rule is None:
            raise PullThroughCacheRuleNotFound(_normal(prefix), registry.account)
        return rule

    def delete(self, registry: Registry, prefix: str) -> Setting:
        """Remove a rule and return it; what it brought stays. Raises PullThroughCacheRuleNotFound."""
        rule = self.get(registry, prefix)
        self._settings.delete(registry, KIND, rule.name)
        return rule

    def describe(self, registry: Registry, *, limit: int, token: str | None = None) -> Page[Setting]:
        """Return rules in the order of their prefixes."""
        return self._settings.describe(registry, KIND, limit=limit, token=token)

    def covering(self, registry: Registry, name: str) -> Setting | None:
        """Return the rule with the longest prefix that a repository's name begins with, ROOT last; None without."""
        if not 2 <= len(name) <= 256 or not _NAME.fullmatch(name):
            return None
        parts = name.split("/")[:-1]
        for prefix in (*("/".join(parts[:length]) for length in range(len(parts), 0, -1)), ROOT):
            rule = self._settings.get(registry, KIND, prefix)
            if rule is not None:
                return rule
        return None

    async def _check_secret(self, registry: Registry, arn: str | None) -> None:
        if arn is None:
            return
        _partition, _aws, _service, region, account, *_name = arn.split(":")
        if (account, region) != (registry.account, registry.region):
            raise UnableToAccessSecret(
                f"The secret {arn} has to be in the account {registry.account} and the region {registry.region}, as "
                "the pull through cache rule is"
            )
        await self._outside.secret(arn)


def upstream_name(rule: Setting, name: str) -> str:
    """Return what the upstream calls the repository `name`, which the rule covers (UG/pull-through-cache)."""
    rest = name if rule.name == ROOT else name[len(rule.name) + 1 :]
    prefix = rule.value["upstreamRepositoryPrefix"]
    return rest if prefix == ROOT else f"{prefix}/{rest}"


def _normal(prefix: str) -> str:
    """Return a prefix without the slash that is implied at its end."""
    return prefix.removesuffix("/")


def _upstream_registry(url: str, stated: str | None) -> str | None:
    """Return ECR's name of the registry at a URL; a registry on this machine has the one that was stated, or none."""
    if LOOPBACK.fullmatch(url):
        return stated
    known = next((name for name, pattern in _HOSTS.items() if re.fullmatch(pattern, url)), None)
    if known is None:
        raise UnsupportedUpstreamRegistry(
            f"The upstream registry '{url}' is not supported. Amazon ECR knows the registries of its documentation by "
            "their host names, and this lab also a registry on a loopback address such as 127.0.0.1:5000"
        )
    if stated not in (None, known):
        raise InvalidParameter("upstreamRegistry", f"must be '{known}' for the upstreamRegistryUrl '{url}'")
    return known


def _check(registry: Registry, prefix: str, rule: Mapping[str, Any]) -> None:
    """Raise InvalidParameter or Validation unless the members of a rule go together.

    That only ECR and loopback upstreams take a prefix and only ECR a role, is our reading of the documentation.
    """
    name, url = rule["upstreamRegistry"], rule["upstreamRegistryUrl"]
    on_loopback = LOOPBACK.fullmatch(url) is not None
    upstream_prefix = rule["upstreamRepositoryPrefix"]
    if min(len(prefix), len(upstream_prefix)) < 2:
        raise Validation("A prefix has at least 2 characters, the slash at its end not counted")
    if upstream_prefix != ROOT and prefix == ROOT:
        raise Validation("upstreamRepositoryPrefix can only be given when ecrRepositoryPrefix is not ROOT")
    if upstream_prefix != ROOT and name != "ecr" and not on_loopback:
        raise Validation("upstreamRepositoryPrefix can only be given for an upstream registry of Amazon ECR")
    if name in _NEED_SECRET and not on_loopback and not rule.get("credentialArn"):
        raise InvalidParameter("credentialArn", f"must be given for the upstream registry '{name}'")
    if rule.get("customRoleArn") and name != "ecr":
        raise InvalidParameter("customRoleArn", "can only be given for an upstream registry of Amazon ECR")
    if name == "ecr" and not on_loopback:
        if rule.get("credentialArn"):
            raise InvalidParameter("credentialArn", "cannot be given for an upstream registry of Amazon ECR")
        upstream = Registry.from_host(url)
        if upstream == registry:
            raise InvalidParameter("upstreamRegistryUrl", "must be another registry than the one that caches")
        if upstream is not None and upstream.account != registry.account and not rule.get("customRoleArn"):
            raise InvalidParameter("customRoleArn", "must be given for an upstream registry of another account")
