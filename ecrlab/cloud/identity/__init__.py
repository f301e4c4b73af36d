"""Who is calling, and may they: signatures of AWS calls, tokens of docker, decisions."""

from ecrlab.cloud.identity.authorise import Denied, authorise
from ecrlab.cloud.identity.principal import Credential, Principal
from ecrlab.cloud.identity.sigv4 import Caller, SignatureError, SignedRequest, verify
from ecrlab.cloud.identity.tokens import Token, TokenExpired, TokenInvalid, Tokens

__all__ = [
    "Caller",
    "Credential",
    "Denied",
    "Principal",
    "SignatureError",
    "SignedRequest",
    "Token",
    "TokenExpired",
    "TokenInvalid",
    "Tokens",
    "authorise",
    "verify",
]
