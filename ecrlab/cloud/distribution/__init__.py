"""The OCI distribution API, /v2/…, over the core: what docker, podman and skopeo speak."""

from ecrlab.cloud.distribution.adapter import Distribution

__all__ = ["Distribution"]
