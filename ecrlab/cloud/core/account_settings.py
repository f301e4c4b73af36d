"""Settings of a registry as a whole (ecr-semantics section 17)."""

from __future__ import annotations

from ecrlab.cloud.core.errors import Validation
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.settings import Settings

KIND = "account-setting"
BLOB_MOUNTING = "BLOB_MOUNTING"

# What each setting may be; the first is the default.
_VALUES = {
    "BASIC_SCAN_TYPE_VERSION": ("AWS_NATIVE",),
    "REGISTRY_POLICY_SCOPE": ("V2",),
    BLOB_MOUNTING: ("DISABLED", "ENABLED"),
}


class AccountSettings:
    """The account settings of every registry."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def get(self, registry: Registry, name: str) -> str:
        """Return a setting's value. Raises Validation for an unknown name."""
        values = _values(name)
        stored = self._settings.get(registry, KIND, name)
        return str(stored.value) if stored else values[0]

    def put(self, registry: Registry, name: str, value: str) -> None:
        """Change a setting. Raises Validation."""
        if value not in _values(name):
            raise Validation(f"{value} is not a value of the account setting {name}: {', '.join(_values(name))}")
        self._settings.put(registry, KIND, value, name)


def _values(name: str) -> tuple[str, ...]:
    if name not in _VALUES:
        raise Validation(f"{name} is not an account setting: {', '.join(_VALUES)}")
    return _VALUES[name]
