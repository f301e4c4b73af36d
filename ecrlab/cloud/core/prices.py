"""What ECR charges, in one dated table (ecr-semantics section 22).

Every figure comes from a copy of the AWS page made by others and was not read on the AWS page itself: check it there.
"""

from __future__ import annotations

from dataclasses import dataclass

AS_OF = "March 2026"
PAGE = "https://aws.amazon.com/ecr/pricing/"

GB = 2**30  # bytes
TB = 1024  # GB
MONTH = 730 * 3600  # seconds: AWS counts 730 hours to a month where no calendar is given
ARCHIVE_MINIMUM = 90 * 24 * 3600  # seconds for which an archived image is charged at least


@dataclass(frozen=True, slots=True)
class Price:
    """One figure: US dollars for a unit, where it was read, and how sure it is ("U": unverified)."""

    name: str
    dollars: float
    unit: str
    source: str
    mark: str = "U"


STORAGE = Price("storage", 0.10, "GB-month", "cloudburn.io/blog/amazon-ecr-pricing, finops.com.py")
ARCHIVE = Price("archive, first 150 TB", 0.10, "GB-month", "hub.pointfive.co CER-0308, devjapan.com")
ARCHIVE_ABOVE = Price("archive, above 150 TB", 0.07, "GB-month", "hub.pointfive.co CER-0308, devjapan.com")
RESTORE = Price("restore from the archive", 0.03, "GB", "hub.pointfive.co CER-0308, devjapan.com")
TRANSFER_HERE = Price("transfer inside the region", 0.0, "GB", "cloudburn.io/blog/amazon-ecr-pricing")
TRANSFER_OUT = Price("transfer to the internet, to 10 TB", 0.09, "GB", "cloudburn.io/blog/amazon-ecr-pricing")

TABLE = (STORAGE, ARCHIVE, ARCHIVE_ABOVE, RESTORE, TRANSFER_HERE, TRANSFER_OUT)
_ARCHIVE_STEP = 150 * TB  # GB

NOTES = (
    f"Prices as of {AS_OF}, from copies of the AWS page and not verified: check {PAGE}.",
    "Not taken off: the 500 MB a month that a new account has free for 12 months, and the first GB to the internet.",
    "Pulls inside the region are free; to the internet is what the same bytes would cost there.",
)


def archive_price(gigabytes: float) -> float:
    """Return the dollars for one GB-month in the archive, on average, of a registry that keeps `gigabytes` there."""
    if gigabytes <= _ARCHIVE_STEP:
        return ARCHIVE.dollars
    return (_ARCHIVE_STEP * ARCHIVE.dollars + (gigabytes - _ARCHIVE_STEP) * ARCHIVE_ABOVE.dollars) / gigabytes
