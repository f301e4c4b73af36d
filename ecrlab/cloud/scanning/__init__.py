"""Packages in an image, advisories, and which of the one are named by the other. No HTTP, no database."""

from ecrlab.cloud.scanning.advisories import AdvisoryError, AdvisoryTable, builtin
from ecrlab.cloud.scanning.layers import Layer
from ecrlab.cloud.scanning.limits import Limits
from ecrlab.cloud.scanning.matching import Finding
from ecrlab.cloud.scanning.packages import Package
from ecrlab.cloud.scanning.scanner import Report, scan

__all__ = ["AdvisoryError", "AdvisoryTable", "Finding", "Layer", "Limits", "Package", "Report", "builtin", "scan"]
