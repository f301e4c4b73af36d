"""How to run the cloud."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ecrlab.cloud.api.call import UriStyle
from ecrlab.cloud.identity import Credential, Principal
from ecrlab.cloud.neighbours import ADMINISTRATOR


@dataclass(frozen=True)
class Settings:
    """How to run the cloud. Everything is written below `state_dir`/cloud; `port` 0 takes a free one."""

    state_dir: Path
    access_key_id: str
    secret_access_key: str
    control_token: str
    host: str = "127.0.0.1"
    port: int = 0
    account_id: str = "123456789012"
    region: str = "us-east-1"
    uri_style: UriStyle = "aws"

    @property
    def folder(self) -> Path:
        """Where the cloud writes."""
        return self.state_dir / "cloud"

    @property
    def administrator(self) -> Credential:
        """The access key of the lab's administrator."""
        principal = Principal(self.account_id, f"arn:aws:iam::{self.account_id}:user/{ADMINISTRATOR}", True)
        return Credential(self.access_key_id, self.secret_access_key, principal)
