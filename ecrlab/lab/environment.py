"""The environment that points aws, boto3 and docker at a lab, and the files that stand beside it."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from ecrlab.lab.state import Record, StateDir, write_private

# Each of these would lead a client away from the lab, or make it read the learner's own settings.
UNSET = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
)
UNSET_DOCKER = ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def variables(state: StateDir, record: Record, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables a client of this lab needs; ``base`` is the environment they will be added to."""
    values = {
        "AWS_ENDPOINT_URL": record.endpoint or "",
        "AWS_ACCESS_KEY_ID": record.access_key_id,
        "AWS_SECRET_ACCESS_KEY": record.secret_access_key,
        "AWS_DEFAULT_REGION": record.region,
        "AWS_REGION": record.region,
        "AWS_CONFIG_FILE": str(state.aws / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(state.aws / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "DOCKER_CONFIG": str(state.docker),
        "ECRLAB_STATE_DIR": str(state.path),
    }
    if record.engine.docker_host:
        values |= {"DOCKER_HOST": record.engine.docker_host, "DOCKER_BUILDKIT": "0"}
    if any(base.get(name) for name in PROXIES):
        # A proxy cannot reach this machine's loopback.
        past = base.get("no_proxy") or base.get("NO_PROXY") or ""
        hosts = [host.strip() for host in past.split(",") if host.strip()]
        hosts += [host for host in ("127.0.0.1", "localhost") if host not in hosts]
        values |= dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(hosts))
    return values


def unset(record: Record, base: Mapping[str, str] = os.environ) -> list[str]:
    """The names that must not be set beside ``variables``."""
    names = list(UNSET)
    if record.engine.docker_host:
        names += UNSET_DOCKER
    # AWS_ENDPOINT_URL_ECR and its like go before AWS_ENDPOINT_URL.
    return names + sorted(name for name in base if name.startswith("AWS_ENDPOINT_URL_"))


def apply(state: StateDir, record: Record, environ: MutableMapping[str, str] = os.environ) -> None:
    """Point this environment at the lab; the programs installed beside this Python are found first."""
    for name in unset(record, environ):
        environ.pop(name, None)
    environ.update(variables(state, record, environ))
    environ["PATH"] = path_with_programs(environ.get("PATH", ""))


def path_with_programs(path: str) -> str:
    """PATH with the folder of this Python's programs (aws, ecrlab, jupyter) in front."""
    folder = str(Path(sys.executable).parent)
    return os.pathsep.join([folder, *(part for part in path.split(os.pathsep) if part and part != folder)])


def shell_lines(state: StateDir, record: Record, shell: str, base: Mapping[str, str] = os.environ) -> str:
    """Lines for ``eval`` (sh, bash, zsh), ``source`` (fish) or ``Invoke-Expression`` (powershell)."""
    values, gone = variables(state, record, base), unset(record, base)
    if shell == "fish":
        lines = [f"set -e {name};" for name in gone]
        lines += [f"set -gx {name} {_fish(value)};" for name, value in values.items()]
    elif shell == "powershell":
        lines = [f"Remove-Item Env:{name} -ErrorAction SilentlyContinue" for name in gone]
        lines += [f"$env:{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in values.items()]
    else:
        lines = [f"unset {' '.join(gone)}"]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def write_client_files(state: StateDir, record: Record) -> None:
    """Write the lab's AWS config and credentials files and its DOCKER_CONFIG folder, so that no client reads others."""
    for folder in (state.aws, state.docker):
        folder.mkdir(mode=0o700, exist_ok=True)
    write_private(
        state.aws / "config",
        f"[default]\nregion = {record.region}\noutput = json\ncli_pager =\ncli_timestamp_format = iso8601\n"
        f"endpoint_url = {record.endpoint}\n",
    )
    write_private(
        state.aws / "credentials",
        f"[default]\naws_access_key_id = {record.access_key_id}\naws_secret_access_key = {record.secret_access_key}\n",
    )
    if not (state.docker / "config.json").exists():
        write_docker_config(state)


def write_docker_config(state: StateDir) -> None:
    """Write the docker client's config with no login in it."""
    state.docker.mkdir(mode=0o700, exist_ok=True)
    # With an empty "auths" the docker client would look for the learner's keychain and write logins there.
    write_private(state.docker / "config.json", json.dumps({"auths": {"ecrlab.invalid": {}}}, indent=2) + "\n")


def _fish(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
