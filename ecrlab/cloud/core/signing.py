"""Managed signing: what is pushed is signed, the signature kept as a referrer (ecr-semantics section 20).

Like AWS: the configuration with its filters, a signature for each matching profile, its form (Notary Project, JWS) and
its place beside the image, the status of each profile, that signing does not hold up the push.

Unlike AWS: the lab itself plays AWS Signer. The first configuration that names a profile of the own account makes the
profile's key, on P-256 with a certificate that signs itself, kept with the registry's settings; a profile need not
exist in AWS Signer, has no revocation and no expiry. A profile of another account fails, because no policy lets the lab
sign with it. Copies that replication brings are not signed again: the signature is replicated with the image.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core import signatures
from ecrlab.cloud.core.errors import (
    EcrError,
    ImageNotFound,
    SigningConfigurationNotFound,
    Validation,
)
from ecrlab.cloud.core.image import Image, ImageId
from ecrlab.cloud.core.images import Images
from ecrlab.cloud.core.layers import Layers
from ecrlab.cloud.core.manifest import parse
from ecrlab.cloud.core.pushes import Push, Pushes
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.repositories import Repositories, Repository
from ecrlab.cloud.core.scans import Background
from ecrlab.cloud.core.settings import Settings
from ecrlab.cloud.storage import Database

KIND = "signing"
KEY_KIND = "signing-key"  # one for each profile, kept when the configuration goes
MAX_RULES = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Status:
    """How the signing with one profile went: IN_PROGRESS, COMPLETE, or FAILED with a code and a reason."""

    profile: str
    status: str
    failure_code: str | None
    failure_reason: str | None


class Signing:
    """The signing of every registry."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: Settings,
        repositories: Repositories,
        images: Images,
        layers: Layers,
        pushes: Pushes,
        background: Background,
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._repositories = repositories
        self._images = images
        self._layers = layers
        self._pushes = pushes
        self._background = background

    def get(self, registry: Registry) -> Mapping[str, Any]:
        """Return the configuration in the members of the API. Raises SigningConfigurationNotFound."""
        stored = self._settings.get(registry, KIND)
        if stored is None:
            raise SigningConfigurationNotFound(registry.account)
        value: Mapping[str, Any] = stored.value
        return value

    def put(self, registry: Registry, configuration: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replace the configuration whole and return it.

        Raises Validation: too many rules, or a profile of another region, which could never sign (our reading).
        """
        rules = configuration["rules"]
        if len(rules) > MAX_RULES:
            raise Validation(f"A signing configuration can have no more than {MAX_RULES} rules")
        profiles = dict.fromkeys(rule["signingProfileArn"] for rule in rules)
        for arn in profiles:
            if arn.split(":")[3] != registry.region:
                raise Validation(f"The signing profile {arn} must be in the region {registry.region}")
        with self._database.transaction():
            for arn in profiles:
                own = arn.split(":")[4] == registry.account
                if own and self._settings.get(registry, KEY_KIND, arn) is None:
                    key = signatures.make_key(arn.rpartition("/")[2], self._clock.now())
                    self._settings.put(registry, KEY_KIND, dataclasses.asdict(key), arn)
            value: Mapping[str, Any] = self._settings.put(registry, KIND, dict(configuration)).value
        return value

    def delete(self, registry: Registry) -> Mapping[str, Any]:
        """Remove the configuration and return it; signatures stay. Raises SigningConfigurationNotFound."""
        configuration = self.get(registry)
        self._settings.delete(registry, KIND)
        return configuration

    def statuses(self, image: Image) -> list[Status]:
        """Return the status of an image for each profile that matched it when it was pushed."""
        rows = self._database.all("SELECT * FROM signing WHERE image_id = ? ORDER BY profile", (image.id,))
        return [Status(row["profile"], row["status"], row["failure_code"], row["failure_reason"]) for row in rows]

    def follow(self, push: Push) -> None:
        """Have what was pushed signed, but for signatures and copies; what a profile has signed is not signed again."""
        if push.is_copy or push.manifest.artifact_type == signatures.ARTIFACT_TYPE:
            return
        done = {item.profile for item in self.statuses(push.image) if item.status != "FAILED"}
        for profile in self._profiles(push.image.repository):
            if profile not in done:
                self._set(push.image, profile, "IN_PROGRESS")
                self._sign_after_commit(push.image, profile)

    def run_unfinished(self) -> None:
        """Take up the signings that a killed server left behind."""
        rows = self._database.all(
            "SELECT profile, digest, account, region, name FROM signing JOIN image ON image.id = image_id"
            " JOIN repository ON repository.id = repository_id WHERE status = 'IN_PROGRESS'"
        )
        for row in rows:
            repository = self._repositories.get(Registry(row["account"], row["region"]), row["name"])
            self._sign(self._images.get(repository, ImageId(row["digest"])), row["profile"])

    def _profiles(self, repository: Repository) -> Sequence[str]:
        try:
            rules = self.get(repository.registry)["rules"]
        except SigningConfigurationNotFound:
            return ()
        return list(dict.fromkeys(rule["signingProfileArn"] for rule in rules if _matches(rule, repository.name)))

    def _sign_after_commit(self, image: Image, profile: str) -> None:
        self._database.after_commit(lambda: self._sign(image, profile))

    def _sign(self, image: Image, profile: str) -> None:
        stored = self._settings.get(image.repository.registry, KEY_KIND, profile)
        if stored is None:
            reason = f"No policy allows signer:SignPayload with the signing profile {profile} of another account"
            self._set(image, profile, "FAILED", "AccessDeniedException", reason)
            return
        key = signatures.Key(**stored.value)
        now = self._clock.now()
        subject = {
            "mediaType": image.media_type,
            "digest": image.digest,
            "size": len(self._images.manifest(image)),
        }

        def work() -> bytes | Exception:
            try:
                return signatures.sign(key, subject, now)
            except Exception as error:
                _log.exception("a signing failed")
                return error

        def finish(outcome: bytes | Exception) -> None:
            try:
                current = self._images.again(image)
            except ImageNotFound:  # deleted in the meantime
                return
            if isinstance(outcome, Exception):
                self._set(current, profile, "FAILED", "InternalError", f"{type(outcome).__name__}: {outcome}")
                return
            try:
                with self._database.transaction():
                    self._store(current.repository, outcome, signatures.manifest(key, outcome, subject, now))
                    self._set(current, profile, "COMPLETE")
            except EcrError as error:
                self._set(current, profile, "FAILED", error.code, error.message)
            except OSError as error:
                self._set(current, profile, "FAILED", "InternalError", f"The signature cannot be stored: {error}")

        self._background(work, finish)

    def _store(self, repository: Repository, envelope: bytes, manifest: bytes) -> None:
        """Put a signature into the repository of its image."""
        for content, layer in zip((signatures.EMPTY, envelope), parse(manifest).needed_layers, strict=True):
            if self._layers.find(repository, layer.digest) is not None:
                continue
            upload = self._layers.start(repository)
            try:
                upload.write([content])
            except BaseException:
                self._layers.cancel(repository, upload.id)
                raise
            self._layers.complete(repository, upload.id, layer.digest)
        self._pushes.put(repository, manifest)

    def _set(self, image: Image, profile: str, status: str, code: str | None = None, reason: str | None = None) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO signing (image_id, profile, status, failure_code, failure_reason)"
            " VALUES (?, ?, ?, ?, ?)",
            (image.id, profile, status, code, reason),
        )


def _matches(rule: Mapping[str, Any], name: str) -> bool:
    """Tell whether a rule is for a repository; one without filters is for every repository."""
    filters = rule.get("repositoryFilters")
    return not filters or any(_globs(item["filter"], name) for item in filters)


def _globs(pattern: str, name: str) -> bool:
    """Tell whether a pattern matches the whole name; a wildcard stands for any run of characters, slashes too.

    Without a regular expression, whose time would grow with the power of the number of wildcards.
    """
    first, *middle = pattern.split("*")
    if not middle:
        return first == name
    last = middle.pop()
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    position, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True
