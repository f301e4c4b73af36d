"""What ECR refuses, in the classes of botocore's model and the words of AWS (ecr-semantics sections 2 to 7)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class EcrError(Exception):
    """A refusal that the caller can read. `code` is the error's class in the ECR API, `extra` its further members."""

    code = "ServerException"

    def __init__(self, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.extra = extra


class InvalidParameter(EcrError):
    """A parameter does not satisfy its constraint."""

    code = "InvalidParameterException"

    def __init__(self, parameter: str, constraint: str) -> None:
        super().__init__(f"Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'")


class Validation(EcrError):
    """The newer operations' word for an invalid parameter."""

    code = "ValidationException"


class RepositoryNotFound(EcrError):
    """The registry has no repository of this name."""

    code = "RepositoryNotFoundException"

    def __init__(self, name: str, account: str) -> None:
        super().__init__(f"The repository with name '{name}' does not exist in the registry with id '{account}'")


class RepositoryAlreadyExists(EcrError):
    """The registry has a repository of this name."""

    code = "RepositoryAlreadyExistsException"

    def __init__(self, name: str, account: str) -> None:
        super().__init__(f"The repository with name '{name}' already exists in the registry with id '{account}'")


class RepositoryNotEmpty(EcrError):
    """A repository with images is deleted only by force."""

    code = "RepositoryNotEmptyException"

    def __init__(self, name: str, account: str) -> None:
        super().__init__(
            f"The repository with name '{name}' in registry with id '{account}' cannot be deleted because it still "
            "contains images"
        )


class TooManyTags(EcrError):
    """A repository carries at most 50 resource tags."""

    code = "TooManyTagsException"


class InvalidTag(EcrError):
    """A resource tag that AWS does not accept."""

    code = "InvalidTagParameterException"


class LimitExceeded(EcrError):
    """A quota is used up."""

    code = "LimitExceededException"


class ImageNotFound(EcrError):
    """The repository has no such image."""

    code = "ImageNotFoundException"

    def __init__(self, image: str, name: str, account: str) -> None:
        super().__init__(
            f"The image with imageId {image} does not exist within the repository with name '{name}' in the registry "
            f"with id '{account}'"
        )


class ImageAlreadyExists(EcrError):
    """The same manifest stands under the same tag already. `frozen`: the tag could not have been moved anyway."""

    code = "ImageAlreadyExistsException"

    def __init__(self, digest: str, tag: str | None, name: str, account: str, *, frozen: bool) -> None:
        tagged = f" and tag '{tag}'" if tag else ""
        super().__init__(
            f"Image with digest '{digest}'{tagged} already exists in the repository with name '{name}' in registry "
            f"with id '{account}'"
        )
        self.digest = digest
        self.tag = tag
        self.repository = name
        self.frozen = frozen


class ImageTagAlreadyExists(EcrError):
    """An immutable tag stays where it is."""

    code = "ImageTagAlreadyExistsException"

    def __init__(self, tag: str, name: str) -> None:
        super().__init__(
            f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the "
            "tag is immutable."
        )


class ImageDigestDoesNotMatch(EcrError):
    """The digest given is not the manifest's."""

    code = "ImageDigestDoesNotMatchException"

    def __init__(self, digest: str, name: str, account: str) -> None:
        super().__init__(
            f"The image with digest '{digest}' in repository '{name}' and registry ID '{account}' does not match the "
            "image digest that Amazon ECR has calculated."
        )


class LayersNotFound(EcrError):
    """The repository lacks layers."""

    code = "LayersNotFoundException"

    def __init__(self, digests: Iterable[str], name: str, account: str) -> None:
        super().__init__(
            f"Layers with digests '[{', '.join(digests)}]' required for pushing image into repository with name "
            f"'{name}' in the registry with id '{account}' do not exist"
        )


class LayerNotFound(EcrError):
    """The repository has no such layer."""

    code = "LayersNotFoundException"

    def __init__(self, digest: str, name: str, account: str) -> None:
        super().__init__(
            f"The layer with digest '{digest}' does not exist in the repository with name '{name}' in the registry "
            f"with id '{account}'"
        )


class LayerInaccessible(EcrError):
    """A layer that no image needs cannot be downloaded."""

    code = "LayerInaccessibleException"

    def __init__(self, digest: str, name: str, account: str) -> None:
        super().__init__(
            f"The layer with digest '{digest}' in the repository with name '{name}' in the registry with id "
            f"'{account}' is not part of an image and cannot be accessed"
        )


class ReferencedImagesNotFound(EcrError):
    """An index names images that are not in its repository."""

    code = "ReferencedImagesNotFoundException"

    def __init__(self, digests: Iterable[str], name: str, account: str) -> None:
        super().__init__(
            f"Images with digests '[{', '.join(digests)}]' required for pushing image into repository with name "
            f"'{name}' in the registry with id '{account}' do not exist"
        )


class UploadNotFound(EcrError):
    """No upload goes by this id."""

    code = "UploadNotFoundException"

    def __init__(self, upload_id: str, name: str, account: str) -> None:
        super().__init__(
            f"The layer upload with id '{upload_id}' does not exist in the repository with name '{name}' in the "
            f"registry with id '{account}'"
        )


class EmptyUpload(EcrError):
    """An upload is completed without a byte."""

    code = "EmptyUploadException"


class InvalidLayer(EcrError):
    """The bytes do not have the digest that was said."""

    code = "InvalidLayerException"


class InvalidLayerPart(EcrError):
    """A part does not continue the upload. Extra members say where it stands."""

    code = "InvalidLayerPartException"


class LayerPartTooSmall(EcrError):
    """Every part but the last has at least 5 MiB."""

    code = "LayerPartTooSmallException"


class LayerAlreadyExists(EcrError):
    """The layer is in the repository already; a client takes this for success."""

    code = "LayerAlreadyExistsException"

    def __init__(self, digest: str, name: str, account: str) -> None:
        super().__init__(
            f"The layer with digest '{digest}' already exists in the repository with name '{name}' in the registry "
            f"with id '{account}'"
        )


class ScanNotFound(EcrError):
    """The image was never scanned."""

    code = "ScanNotFoundException"

    def __init__(self, image: str, name: str, account: str) -> None:
        super().__init__(
            f"Image scan does not exist for the image with '{image}' in the repository with name '{name}' in the "
            f"registry with id '{account}'"
        )


class UnsupportedImageType(EcrError):
    """An index or an artifact cannot be scanned."""

    code = "UnsupportedImageTypeException"


class ImageArchived(EcrError):
    """An archived image cannot be scanned."""

    code = "ImageArchivedException"


class StorageClassUpdateNotSupported(EcrError):
    """The image cannot move to another storage class."""

    code = "ImageStorageClassUpdateNotSupportedException"


class LifecyclePolicyNotFound(EcrError):
    """The repository has no lifecycle policy."""

    code = "LifecyclePolicyNotFoundException"

    def __init__(self, name: str, account: str) -> None:
        super().__init__(
            f"Lifecycle policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
        )


class LifecyclePolicyPreviewNotFound(EcrError):
    """No preview was started for the repository."""

    code = "LifecyclePolicyPreviewNotFoundException"

    def __init__(self, name: str, account: str) -> None:
        super().__init__(
            f"Lifecycle policy preview does not exist for the repository with name '{name}' in the registry with id "
            f"'{account}'"
        )


class RepositoryPolicyNotFound(EcrError):
    """The repository has no policy."""

    code = "RepositoryPolicyNotFoundException"

    def __init__(self, name: str, account: str) -> None:
        super().__init__(
            f"Repository policy does not exist for the repository with name '{name}' in the registry with id "
            f"'{account}'"
        )


class RegistryPolicyNotFound(EcrError):
    """The registry has no policy."""

    code = "RegistryPolicyNotFoundException"

    def __init__(self, account: str) -> None:
        super().__init__(f"Registry policy does not exist in the registry with id '{account}'")


class TemplateNotFound(EcrError):
    """The registry has no creation template for the prefix."""

    code = "TemplateNotFoundException"

    def __init__(self, prefix: str, account: str) -> None:
        super().__init__(
            f"The repository creation template with prefix '{prefix}' does not exist in the registry with id "
            f"'{account}'"
        )


class TemplateAlreadyExists(EcrError):
    """The registry has a creation template for the prefix."""

    code = "TemplateAlreadyExistsException"

    def __init__(self, prefix: str, account: str) -> None:
        super().__init__(
            f"The repository creation template with prefix '{prefix}' already exists in the registry with id "
            f"'{account}'"
        )


class ExclusionNotFound(EcrError):
    """The principal is not excluded."""

    code = "ExclusionNotFoundException"


class ExclusionAlreadyExists(EcrError):
    """The principal is excluded already."""

    code = "ExclusionAlreadyExistsException"


class SigningConfigurationNotFound(EcrError):
    """The registry has no signing configuration."""

    code = "SigningConfigurationNotFoundException"

    def __init__(self, account: str) -> None:
        super().__init__(f"Signing configuration does not exist in the registry with id '{account}'")


class BackfillNotFound(EcrError):
    """The registry has no such replication backfill, or has it no longer."""

    code = "ReplicationBackfillNotFoundException"

    def __init__(self, backfill_id: str, account: str) -> None:
        super().__init__(
            f"The replication backfill with id '{backfill_id}' does not exist in the registry with id '{account}'"
        )


class BackfillInProgress(EcrError):
    """Another backfill to the same region has not ended."""

    code = "ReplicationBackfillInProgressException"


class BackfillInvalidStatus(EcrError):
    """The backfill is not in progress."""

    code = "ReplicationBackfillInvalidStatusException"
