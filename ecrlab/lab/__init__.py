"""The lab: the place where the learner's aws, boto3 and docker calls run.

``open()`` gives the lab of the state folder; what AWS or Docker has a name for is done with their own clients.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ecrlab.lab import environment as _environment
from ecrlab.lab.clock import Clock
from ecrlab.lab.cost import Cost
from ecrlab.lab.errors import LabError, NotRunning, StartFailed, StateBusy, StateUnusable
from ecrlab.lab.state import Record, StateDir, default_state_dir

if TYPE_CHECKING:
    from docker.models.images import Image

__all__ = [
    "Clock",
    "Cost",
    "Lab",
    "LabError",
    "NotRunning",
    "Samples",
    "StartFailed",
    "StateBusy",
    "StateUnusable",
    "open",
]


def open(state_dir: str | Path | None = None, engine: Literal["auto", "embedded", "docker"] = "auto") -> Lab:
    """The lab of a state folder, running, with this process's environment pointed at it.

    Attaches to the lab that runs there, or starts one in the background. ``state_dir`` defaults to ``ECRLAB_STATE_DIR``
    or the user's data folder. ``engine`` counts for a lab that is started: "auto" takes a real Docker Engine that can
    work with the lab, else the embedded one.
    Raises LabError, with the end of the log, when the lab does not start.
    """
    from ecrlab.lab import background

    if engine not in ("auto", "embedded", "docker"):
        raise ValueError(f"engine is 'auto', 'embedded' or 'docker', not {engine!r}")
    state = StateDir(Path(state_dir) if state_dir is not None else default_state_dir())
    record = background.running_or_none(state)
    if record is None:
        record = background.start(state, engine)
    elif engine != "auto" and record.engine.kind != engine:
        raise LabError(
            f"A lab with the engine {record.engine.kind!r} runs on {state.path}: "
            f"end it with `ecrlab stop` to start one with {engine!r}."
        )
    _environment.apply(state, record)
    if (boto3 := sys.modules.get("boto3")) is not None:
        # It remembers keys and endpoint from the environment as it was.
        vars(boto3)["DEFAULT_SESSION"] = None
    return Lab(state, record)


class Lab:
    """A running lab: where it is, its clock, its costs, and the sample images."""

    def __init__(self, state: StateDir, record: Record) -> None:
        self._state = state
        self._record = record
        self.samples = Samples(record)
        self.clock = Clock(record)

    @property
    def endpoint(self) -> str:
        """The address of the embedded cloud, for ``AWS_ENDPOINT_URL``."""
        return self._record.endpoint or ""

    @property
    def account_id(self) -> str:
        """The account of the lab's administrator: twelve digits."""
        return self._record.account_id

    @property
    def region(self) -> str:
        """The default region."""
        return self._record.region

    @property
    def engine(self) -> str:
        """The Docker Engine in use: "embedded", "docker" (a real one) or "none"."""
        return self._record.engine.kind

    @property
    def state_dir(self) -> Path:
        """The folder that holds everything the lab writes."""
        return self._state.path

    @property
    def registry(self) -> str:
        """The host name for ``docker login``: as AWS spells it, or the loopback address for a real Docker Engine."""
        if self._record.uri_style == "loopback":
            return self.endpoint.removeprefix("http://")
        return f"{self.account_id}.dkr.ecr.{self.region}.amazonaws.com"

    def environment(self) -> dict[str, str]:
        """The variables that point aws, boto3 and docker at this lab; they hold the administrator's secret key."""
        return _environment.variables(self._state, self._record)

    def cost(self, since: datetime | None = None, until: datetime | None = None) -> Cost:
        """What the registries would cost at AWS, by repository; follows the lab's clock.

        By default since the first image and until now. Raises LabError for a period that is none or not over yet, or
        when the lab does not answer; ValueError for times without a time zone.
        """
        return Cost.read(self._record, since, until)

    def events(self) -> list[dict[str, Any]]:
        """What happened in the registries: pushes, deletions and archivals, by callers and by lifecycle rules.

        Up to a hundred events as EventBridge would tell them, newest last; ``time`` in seconds since the epoch (UTC).
        Raises LabError when the lab does not answer.
        """
        from ecrlab.lab.control import events

        return events(self._record)

    def stop(self) -> None:
        """End the lab; what was pushed is there again at the next start."""
        from ecrlab.lab import background

        background.stop(self._state)

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("Cloud", self.endpoint),
            ("Account", self.account_id),
            ("Region", self.region),
            ("Registry", self.registry),
            ("Docker Engine", f"{self.engine} ({self._record.engine.docker_host or 'not part of this lab'})"),
            ("State folder", str(self.state_dir)),
        ]

    def __repr__(self) -> str:
        return "ecrlab lab\n" + "\n".join(f"  {name + ':':<15}{value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left"><code>{escape(value)}</code></td></tr>'
            for name, value in self._rows()
        )
        return f"<table><caption>ecrlab lab</caption><tbody>{rows}</tbody></table>"


@dataclass(frozen=True, repr=False)
class Samples:
    """The sample images that come with ecrlab."""

    _record: Record

    def names(self) -> tuple[str, ...]:
        """The names of the sample images."""
        from ecrlab import samples

        return samples.names()

    def load(self, name: str = "simplehttp") -> Image:
        """Load ``ecrlab/<name>:latest`` into the Docker Engine in use; returns the image of the docker SDK.

        With the embedded engine this is what ``docker pull ecrlab/<name>`` does. Raises LabError for an unknown name.
        """
        import docker

        from ecrlab import samples

        if name not in samples.names():
            raise LabError(f"There is no sample image {name!r}; there are {', '.join(samples.names())}.")
        if self._record.engine.docker_host is None:
            raise LabError("This lab runs without a Docker Engine (--engine none).")
        client: Any = docker.DockerClient(base_url=self._record.engine.docker_host, version="auto")
        try:
            if self._record.engine.kind == "embedded":
                return client.images.pull(f"ecrlab/{name}", tag="latest")
            version = client.version()
            client.images.load(samples.archive(name, f"{version['Os']}/{version['Arch']}"))
            return client.images.get(f"ecrlab/{name}:latest")
        except docker.errors.DockerException as error:
            raise LabError(f"The sample image {name!r} could not be loaded ({error}).") from error
        finally:
            client.close()

    def __repr__(self) -> str:
        return f"Samples({', '.join(self.names())})"
