"""Pull through cache: images brought from an upstream when they are first pulled (ecr-semantics section 15)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.cache_errors import UpstreamAccessDenied, UpstreamError, UpstreamUnavailable
from ecrlab.cloud.core.cache_rules import LOOPBACK, CacheRules, upstream_name
from ecrlab.cloud.core.errors import (
    EcrError,
    EmptyUpload,
    ImageAlreadyExists,
    ImageTagAlreadyExists,
    InvalidLayer,
    InvalidParameter,
    LayerAlreadyExists,
    RepositoryNotFound,
)
from ecrlab.cloud.core.image import ImageId
from ecrlab.cloud.core.images import Images
from ecrlab.cloud.core.layers import Layers
from ecrlab.cloud.core.manifest import Descriptor, Manifest, parse
from ecrlab.cloud.core.pushes import Pushes
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.repositories import Repositories, Repository
from ecrlab.cloud.core.settings import Setting
from ecrlab.cloud.core.templates import PULL_THROUGH_CACHE, Templates
from ecrlab.cloud.core.upstream import Credentials, LabRegistry, NotUpstream, Outside, Upstream
from ecrlab.cloud.storage import Database

CHECK_INTERVAL = 24 * 3600  # seconds of the lab's clock in which a cached tag is not compared with the upstream

_log = logging.getLogger(__name__)


class Cache:
    """Brings images from the upstreams that the rules of a registry name.

    A pull waits until the whole image is here; AWS answers the first one while it still imports. A tag that was pushed
    here, and not brought, is never compared with an upstream. A registry of the lab that is an upstream gives what it
    has: it does not itself pull on from its own upstreams.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        repositories: Repositories,
        templates: Templates,
        images: Images,
        layers: Layers,
        pushes: Pushes,
        rules: CacheRules,
        outside: Outside,
    ) -> None:
        self._database = database
        self._clock = clock
        self._repositories = repositories
        self._templates = templates
        self._images = images
        self._layers = layers
        self._pushes = pushes
        self._rules = rules
        self._outside = outside
        self._pulls: dict[tuple[Registry, str, str], asyncio.Task[None]] = {}

    def needs(self, registry: Registry, name: str, image_id: ImageId) -> tuple[str, ...]:
        """Return the ECR actions that whoever pulls must be allowed, because the upstream is asked; () if it is not."""
        if self._rules.covering(registry, name) is None:
            return ()
        try:
            repository = self._repositories.get(registry, name)
        except RepositoryNotFound:
            return ("CreateRepository", "BatchImportUpstreamImage")
        return ("BatchImportUpstreamImage",) if self._is_due(repository, image_id) else ()

    async def pull(self, registry: Registry, name: str, image_id: ImageId) -> None:
        """Bring an image that `needs` says is wanted of the upstream; one that others are bringing is waited for.

        An image that the upstream does not have stays absent. Raises UpstreamError when the upstream fails and there is
        no image to serve instead.
        """
        rule = self._rules.covering(registry, name)
        reference = image_id.tag or image_id.digest
        if rule is None or reference is None:
            return
        key = (registry, name, reference)
        pull = self._pulls.get(key)
        if pull is None:
            pull = self._pulls[key] = asyncio.create_task(self._pull(registry, name, reference, rule))
            pull.add_done_callback(lambda _pull: self._pulls.pop(key))
        try:
            # A client that goes away does not end the pull that others may wait for.
            await asyncio.shield(pull)
        except UpstreamError as error:
            if not self._is_here(registry, name, image_id):
                raise
            _log.info("%s:%s is served from the cache: %s", name, reference, error.message)

    async def validate(self, registry: Registry, prefix: str) -> tuple[Setting, str | None]:
        """Connect to the upstream of a rule; return the rule and what is wrong, None when nothing is.

        Raises PullThroughCacheRuleNotFound.
        """
        rule = self._rules.get(registry, prefix)
        try:
            async with self._open(registry, rule) as upstream:
                await upstream.check()
        except UpstreamError as error:
            return rule, error.message
        return rule, None

    def _is_due(self, repository: Repository, image_id: ImageId) -> bool:
        if image_id.tag is None:
            return image_id.digest is not None and self._images.row(repository, image_id.digest) is None
        tagged = self._images.tagged(repository, image_id.tag)
        if tagged is None:
            return True
        row = self._database.one(
            "SELECT digest, checked_at FROM cached_tag WHERE repository_id = ? AND name = ?",
            (repository.id, image_id.tag),
        )
        if row is None or row["digest"] != tagged:
            return False
        return bool(self._clock.now() >= row["checked_at"] + CHECK_INTERVAL)

    def _is_here(self, registry: Registry, name: str, image_id: ImageId) -> bool:
        try:
            self._images.get(self._repositories.get(registry, name), image_id)
        except EcrError:
            return False
        return True

    async def _pull(self, registry: Registry, name: str, reference: str, rule: Setting) -> None:
        digest = reference if ":" in reference else None
        source = upstream_name(rule, name)
        async with self._open(registry, rule) as upstream:
            try:
                manifest = await _manifest(upstream, source, reference, digest)
            except NotUpstream:
                return
            repository = self._templates.for_copy(registry, name, PULL_THROUGH_CACHE)
            if self._images.row(repository, manifest.digest) is None:
                await self._bring(upstream, source, repository, manifest)
        self._place(repository, manifest, None if digest else reference)

    async def _bring(self, upstream: Upstream, source: str, repository: Repository, manifest: Manifest) -> None:
        """Bring what a manifest needs: config and layers, or the images of an index."""
        for layer in manifest.needed_layers:
            if self._layers.find(repository, layer.digest) is None:
                await self._bring_layer(upstream, source, repository, layer)
        for child in manifest.children:
            if self._images.row(repository, child.digest) is not None:
                continue
            try:
                found = await _manifest(upstream, source, child.digest, child.digest)
            except NotUpstream:
                raise UpstreamUnavailable(f"The upstream lacks {child.digest}, which its index names") from None
            await self._bring(upstream, source, repository, found)
            self._place(repository, found, None)

    async def _bring_layer(self, upstream: Upstream, source: str, repository: Repository, layer: Descriptor) -> None:
        upload = self._layers.start(repository)
        try:
            async for chunk in upstream.blob(source, layer.digest):
                if upload.size + len(chunk) > layer.size:
                    raise UpstreamUnavailable(f"The upstream's blob {layer.digest} is larger than its manifest says")
                await asyncio.to_thread(upload.write, [chunk])
        except BaseException:
            self._layers.cancel(repository, upload.id)
            raise
        try:
            with suppress(LayerAlreadyExists):
                self._layers.complete(repository, upload.id, layer.digest)
        except EmptyUpload as error:
            self._layers.cancel(repository, upload.id)
            raise UpstreamUnavailable(f"The upstream's blob {layer.digest} is empty") from error
        except InvalidLayer as error:
            raise UpstreamUnavailable(f"The upstream's blob {layer.digest} has another digest") from error

    def _place(self, repository: Repository, manifest: Manifest, tag: str | None) -> None:
        with self._database.transaction():
            was_here = self._images.row(repository, manifest.digest) is not None
            # What is archived stays so: to compare a tag is not to push it.
            if not was_here or (tag is not None and self._images.tagged(repository, tag) != manifest.digest):
                try:
                    self._pushes.put(repository, manifest.content, media_type=manifest.media_type, tag=tag)
                except ImageAlreadyExists:
                    _log.debug("%s came by another way meanwhile", manifest.digest)
                except ImageTagAlreadyExists as error:
                    _log.info("the cached tag is not refreshed: %s", error.message)
            if not was_here:
                self._database.execute(
                    "INSERT OR IGNORE INTO cached_image (image_id)"
                    " SELECT id FROM image WHERE repository_id = ? AND digest = ?",
                    (repository.id, manifest.digest),
                )
            if tag is not None:
                self._database.execute(
                    "INSERT OR REPLACE INTO cached_tag (repository_id, name, digest, checked_at) VALUES (?, ?, ?, ?)",
                    (repository.id, tag, self._images.tagged(repository, tag), self._clock.now()),
                )

    @asynccontextmanager
    async def _open(self, registry: Registry, rule: Setting) -> AsyncIterator[Upstream]:
        host: str = rule.value["upstreamRegistryUrl"]
        own = None if LOOPBACK.fullmatch(host) else Registry.from_host(host)
        if own is not None:
            yield LabRegistry(own, registry, self._repositories, self._images, self._layers)
            return
        async with self._outside.registry(host, await self._credentials(rule)) as upstream:
            yield upstream

    async def _credentials(self, rule: Setting) -> Credentials | None:
        arn = rule.value.get("credentialArn")
        if arn is None:
            return None
        try:
            text = await self._outside.secret(arn)
        except EcrError as error:
            raise UpstreamAccessDenied(error.message) from None
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            fields = None
        members = fields if isinstance(fields, dict) else {}
        username, password = members.get("username"), members.get("accessToken")
        if not isinstance(username, str) or not isinstance(password, str):
            raise UpstreamAccessDenied(f"The secret {arn} must be JSON with the texts username and accessToken")
        return Credentials(username, password)


async def _manifest(upstream: Upstream, source: str, reference: str, digest: str | None) -> Manifest:
    content, media_type = await upstream.manifest(source, reference)
    try:
        manifest = parse(content, media_type)
    except InvalidParameter as error:
        raise UpstreamUnavailable(f"The upstream's manifest of {source}:{reference} is not valid") from error
    if digest is not None and manifest.digest != digest:
        raise UpstreamUnavailable(f"The upstream's manifest of {source}@{digest} has another digest")
    return manifest
