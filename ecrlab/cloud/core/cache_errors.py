"""What pull through cache refuses, and how an upstream fails, in the classes of botocore's model."""

from __future__ import annotations

from ecrlab.cloud.core.errors import EcrError


class PullThroughCacheRuleNotFound(EcrError):
    """The registry has no pull through cache rule for the prefix."""

    code = "PullThroughCacheRuleNotFoundException"

    def __init__(self, prefix: str, account: str) -> None:
        super().__init__(
            f"The pull through cache rule with ecrRepositoryPrefix '{prefix}' does not exist in the registry with id "
            f"'{account}'"
        )


class PullThroughCacheRuleAlreadyExists(EcrError):
    """The registry has a pull through cache rule for the prefix."""

    code = "PullThroughCacheRuleAlreadyExistsException"

    def __init__(self, prefix: str, account: str) -> None:
        super().__init__(
            f"The pull through cache rule with ecrRepositoryPrefix '{prefix}' already exists in the registry with id "
            f"'{account}'"
        )


class UnsupportedUpstreamRegistry(EcrError):
    """Not a registry that a pull through cache rule may name."""

    code = "UnsupportedUpstreamRegistryException"


class SecretNotFound(EcrError):
    """Secrets Manager has no such secret."""

    code = "SecretNotFoundException"

    def __init__(self, arn: str) -> None:
        super().__init__(f"The secret with ARN '{arn}' was not found")


class UnableToAccessSecret(EcrError):
    """The secret is there, but cannot be read."""

    code = "UnableToAccessSecretException"


class UpstreamError(EcrError):
    """An upstream registry does not give an image. `code` is the failure code of BatchGetImage (botocore model)."""


class UpstreamUnavailable(UpstreamError):
    """The upstream does not answer, or answers what no registry should."""

    code = "UpstreamUnavailable"


class UpstreamAccessDenied(UpstreamError):
    """The upstream does not accept the login, or there is none."""

    code = "UpstreamAccessDenied"


class UpstreamTooManyRequests(UpstreamError):
    """The upstream has had enough of us for now."""

    code = "UpstreamTooManyRequests"
