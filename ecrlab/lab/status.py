"""Whether a lab runs on a state folder, and where its parts are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ecrlab.lab import control
from ecrlab.lab.state import Record, StateDir


@dataclass(frozen=True)
class Status:
    """What was found; holds no secrets when printed."""

    state_dir: Path
    pid: int | None
    record: Record | None
    answers: bool
    jupyter_url: str | None

    def values(self) -> dict[str, object]:
        """For ``--json``: running, answers, pid and, of a running lab, where its parts are."""
        values: dict[str, object] = {
            "running": self.pid is not None,
            "answers": self.answers,
            "pid": self.pid,
            "state_dir": str(self.state_dir),
        }
        if (record := self.record) is not None:
            values |= {
                "endpoint": record.endpoint,
                "account_id": record.account_id,
                "region": record.region,
                "engine": {"kind": record.engine.kind, "docker_host": record.engine.docker_host},
                "uri_style": record.uri_style,
                "started_at": record.started_at,
                "jupyter_url": self.jupyter_url,
            }
        return values

    def text(self) -> str:
        """For people."""
        if self.pid is None:
            return f"No lab runs on {self.state_dir}."
        if self.record is None:
            return f"A lab (pid {self.pid}) is starting on {self.state_dir}."
        record = self.record
        lines = [
            f"lab         {'runs' if self.answers else 'DOES NOT ANSWER'} (pid {self.pid}, since {record.started_at})",
            f"cloud       {record.endpoint}  (account {record.account_id}, region {record.region})",
            f"engine      {record.engine.kind}, {record.engine.docker_host or 'no Docker Engine'}",
            f"state       {self.state_dir}",
        ]
        if self.jupyter_url:
            lines.append(f"JupyterLab  {self.jupyter_url}  (`ecrlab start` prints the link with its token)")
        return "\n".join(lines)


def look(state: StateDir) -> Status:
    """Look at a state folder; changes nothing."""
    pid = state.holder()
    record = state.running() if pid is not None else None
    if record is None:
        return Status(state.path, pid, None, False, None)
    from ecrlab.lab.jupyter import find

    address = find(state)
    return Status(state.path, pid, record, control.health(record) is not None, address.url if address else None)
