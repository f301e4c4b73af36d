"""What the engine answers when it cannot do what was asked: an HTTP status and a message in Docker's words."""

import errno


class EngineError(Exception):
    """Any refusal of the engine; `status` is the HTTP status, the text is what the client prints."""

    status = 500


class InvalidParameter(EngineError):
    """The request itself is wrong."""

    status = 400


class Unauthorized(EngineError):
    """A registry refused the credentials.

    Only a login answers 401: to that status the docker CLI asks for a password, in the middle of a pull.
    """


class NotFound(EngineError):
    """The image, the manifest or the repository does not exist."""

    status = 404


class Conflict(EngineError):
    """The image cannot be removed as asked."""

    status = 409


class NotSupported(EngineError):
    """Docker can do it, this engine cannot."""

    status = 501


class EngineStartError(Exception):
    """The engine cannot start; the message is one sentence for the user."""


def no_such_image(name: str) -> NotFound:
    """Return the error for an image that is not in the store, as Docker words it."""
    return NotFound(f"No such image: {name}")


def storage_error(error: OSError) -> EngineError:
    """Return the refusal for an operating system error while reading or writing the content store."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EngineError(
            "no space left on device: the engine's folder is full; remove images with `docker image prune -a`"
            " or free disk space, then try again"
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return EngineError(f"the engine's folder cannot be written: {error.strerror}")
    return EngineError(f"the engine's storage failed: {error.strerror or error}")
