"""The ECR API, JSON 1.1 over HTTP: from botocore's own model of it to the core."""

from ecrlab.cloud.api.adapter import Answer, Api
from ecrlab.cloud.api.call import Context

__all__ = ["Answer", "Api", "Context"]
