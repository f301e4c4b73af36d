"""The rest of AWS: IAM, STS and all other services, answered by moto in the same process.

moto takes most of a second to import, so it is loaded after the registry answers, or when it is first needed.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from ecrlab.cloud.core.cache_errors import SecretNotFound, UnableToAccessSecret
from ecrlab.cloud.identity import Caller, Credential, Principal

ADMINISTRATOR = "administrator"


class Neighbours:
    """moto's services for one account."""

    def __init__(self, administrator: Credential) -> None:
        self._administrator = administrator
        self._lock = threading.Lock()
        self._app: Any = None

    def load(self) -> None:
        """Import moto and make the lab's administrator known to its IAM. Takes about a second the first time."""
        with self._lock:
            if self._app is None:
                self._app = self._make()

    def find_credential(self, access_key_id: str) -> Credential | None:
        """Return a credential of the lab's IAM or STS; None when moto is not loaded or knows no such key."""
        if self._app is None:
            return None
        from moto.iam.models import iam_backends
        from moto.sts.models import sts_backends

        account = self._administrator.principal.account
        role = sts_backends[account]["aws"].get_assumed_role_from_access_key(access_key_id)
        if role is not None:
            return Credential(
                access_key_id, role.secret_access_key, Principal(account, role.arn), session_token=role.session_token
            )
        for user in iam_backends[account]["aws"].users.values():
            for key in user.access_keys:
                if key.access_key_id == access_key_id and key.status == "Active":
                    return Credential(access_key_id, key.secret_access_key, Principal(account, user.arn))
        return None

    @property
    def is_loaded(self) -> bool:
        """Whether moto answers already."""
        return self._app is not None

    async def secret(self, arn: str) -> str:
        """Return the text of a secret of the lab's Secrets Manager. Raises SecretNotFound, UnableToAccessSecret."""
        await asyncio.to_thread(self.load)
        from moto.secretsmanager.exceptions import ResourceNotFoundException, SecretsManagerClientError
        from moto.secretsmanager.exceptions import SecretNotFoundException as Absent
        from moto.secretsmanager.models import secretsmanager_backends

        region, account = arn.split(":")[3:5]
        try:
            found = secretsmanager_backends[account][region].get_secret_value(arn, "", "AWSCURRENT")
        except (Absent, ResourceNotFoundException, KeyError):  # a region that moto does not know is a KeyError
            raise SecretNotFound(arn) from None
        except SecretsManagerClientError as error:
            raise UnableToAccessSecret(f"The secret with ARN '{arn}' cannot be read: {error.message}") from None
        text = found.get("SecretString")
        if not isinstance(text, str):
            raise UnableToAccessSecret(f"The secret with ARN '{arn}' holds bytes and no text")
        return text

    async def answer(self, scope: Scope, body: bytes, caller: Caller, send: Send) -> None:
        """Pass a verified request on to moto (ASGI); its body has been read already."""
        await asyncio.to_thread(self.load)
        # moto takes the account from this header: nobody but us may set it.
        headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"x-moto-account-id"]
        headers.append((b"x-moto-account-id", caller.principal.account.encode()))
        await self._app({**scope, "headers": headers}, _replay(body), send)

    def _make(self) -> Any:
        # Read by moto when it makes an account's IAM: with it AWS's own managed policies are there.
        os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        from a2wsgi import WSGIMiddleware
        from moto.iam.models import iam_backends
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        administrator = self._administrator
        iam = iam_backends[administrator.principal.account]["aws"]
        # moto's state is the process's: another cloud in it, as tests have them, may have made the user.
        known = [user for user in iam.users.values() if user.name == ADMINISTRATOR]
        user = known[0] if known else iam.create_user(region_name="us-east-1", user_name=ADMINISTRATOR)
        key = user.create_access_key(prefix="AKIA")
        key.access_key_id, key.secret_access_key = administrator.access_key_id, administrator.secret_access_key
        iam.attach_user_policy("arn:aws:iam::aws:policy/AdministratorAccess", ADMINISTRATOR)
        application: Any = DomainDispatcherApplication(create_backend_app)
        return WSGIMiddleware(application, workers=8)


def _replay(body: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive
