"""Signatures as the Notary Project writes them: a JWS envelope over an image's descriptor.

Source: the Notary Project's signature specification and its JWS envelope (notaryproject/specifications). ES256, with a
certificate that signs itself: whoever verifies has to trust that certificate, as there is no authority above a lab.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from ecrlab.cloud.core.manifest import OCI_MANIFEST

ARTIFACT_TYPE = "application/vnd.cncf.notary.signature"
ENVELOPE_TYPE = "application/jose+json"
EMPTY = b"{}"  # the config of an artifact that has none (OCI image specification)

_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_PAYLOAD_TYPE = "application/vnd.cncf.notary.payload.v1+json"
_SCHEME = "io.cncf.notary.signingScheme"
_VALIDITY = datetime.timedelta(days=10 * 365)


@dataclass(frozen=True, slots=True)
class Key:
    """What a profile signs with: a private key on P-256 and its certificate, both PEM."""

    private_key: str
    certificate: str


def make_key(name: str, now: float) -> Key:
    """Return a new key, its certificate for `name` valid from `now` (seconds since the epoch, UTC) for ten years."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "WA"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ecrlab"),
            x509.NameAttribute(NameOID.COMMON_NAME, name[:64]),
        ]
    )
    start = datetime.datetime.fromtimestamp(int(now), datetime.UTC)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _VALIDITY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Key(private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode())


def sign(key: Key, descriptor: dict[str, Any], now: float) -> bytes:
    """Return the envelope that signs a descriptor (mediaType, digest, size) at `now` (seconds since the epoch, UTC)."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    protected = {
        "alg": "ES256",
        "cty": _PAYLOAD_TYPE,
        "crit": [_SCHEME],
        _SCHEME: "notary.x509",
        "io.cncf.notary.signingTime": datetime.datetime.fromtimestamp(int(now), datetime.UTC).isoformat(),
    }
    signed = f"{_encode(_json(protected))}.{_encode(_json({'targetArtifact': descriptor}))}"
    private = serialization.load_pem_private_key(key.private_key.encode(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return _json(
        {
            "payload": signed.partition(".")[2],
            "protected": signed.partition(".")[0],
            "header": {
                "x5c": [base64.b64encode(_der(key)).decode()],
                "io.cncf.notary.signingAgent": "ecrlab",
            },
            "signature": _encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")),
        }
    )


def manifest(key: Key, envelope: bytes, subject: dict[str, Any], now: float) -> bytes:
    """Return the manifest by which a repository keeps an envelope as a referrer of `subject`, a descriptor."""
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": _describe(EMPTY, _EMPTY_TYPE),
            "layers": [_describe(envelope, ENVELOPE_TYPE)],
            "subject": subject,
            "annotations": {
                "io.cncf.notary.x509chain.thumbprint#S256": json.dumps([hashlib.sha256(_der(key)).hexdigest()]),
                "org.opencontainers.image.created": datetime.datetime.fromtimestamp(int(now), datetime.UTC).isoformat(),
            },
        }
    )


def _describe(content: bytes, media_type: str) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _der(key: Key) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_pem_x509_certificate(key.certificate.encode()).public_bytes(Encoding.DER)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
