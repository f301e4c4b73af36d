"""Which registry: one account in one region."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HOST = re.compile(r"([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.(?:amazonaws\.com|localhost)")


@dataclass(frozen=True, slots=True)
class Registry:
    """One account's registry in one region."""

    account: str
    region: str

    @property
    def host(self) -> str:
        """The host name that AWS gives to the registry's data plane."""
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com"

    def arn(self, repository: str) -> str:
        """Return the ARN of a repository (ecr-semantics section 2)."""
        return f"arn:aws:ecr:{self.region}:{self.account}:repository/{repository}"

    @classmethod
    def from_host(cls, host: str) -> Registry | None:
        """Return the registry that a host name, with or without port, names; None when it names none."""
        match = _HOST.fullmatch(host.partition(":")[0].lower())
        return cls(match[1], match[2]) if match else None
