"""The commands. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecrlab.lab.errors import LabError, StateBusy
from ecrlab.lab.state import StateDir, default_state_dir

if TYPE_CHECKING:
    from ecrlab.lab.clock import Clock
    from ecrlab.lab.jupyter import Address, Notebooks
    from ecrlab.lab.options import Options

app = typer.Typer(
    name="ecrlab",
    help="Learn Amazon ECR by doing: a registry, a Docker engine and guided notebooks, all on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class UriStyle(StrEnum):
    """How repositoryUri is spelled."""

    aws = "aws"
    loopback = "loopback"


class StartEngine(StrEnum):
    """The engines of `start`."""

    auto = "auto"
    embedded = "embedded"
    docker = "docker"


class Shell(StrEnum):
    """The shells of `env`."""

    sh = "sh"
    fish = "fish"
    powershell = "powershell"


StateOption = Annotated[
    Path | None,
    typer.Option("--state-dir", help="The folder of the lab.", envvar="ECRLAB_STATE_DIR", show_default="yours"),
]
HostOption = Annotated[str, typer.Option("--host", help="The address to listen on.")]
PortOption = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="The port of the cloud.", show_default="as last time, or any"),
]
AccountOption = Annotated[
    str | None, typer.Option("--account-id", help="The account of the administrator.", show_default="123456789012")
]
RegionOption = Annotated[str | None, typer.Option("--region", help="The default region.", show_default="us-east-1")]
KeyOption = Annotated[
    str | None, typer.Option("--access-key-id", help="The administrator's key.", show_default="made at the first start")
]
SecretOption = Annotated[str | None, typer.Option("--secret-access-key", help="Its secret; goes with --access-key-id.")]
UriOption = Annotated[
    UriStyle | None,
    typer.Option(
        "--uri-style", help="How repositoryUri is spelled.", show_default="aws; loopback with a real Docker Engine"
    ),
]


def _state(state_dir: Path | None) -> StateDir:
    return StateDir(state_dir if state_dir is not None else default_state_dir())


def _options(
    host: str,
    port: int | None,
    account_id: str | None,
    region: str | None,
    access_key_id: str | None,
    secret_access_key: str | None,
    uri_style: UriStyle | None,
    engine: str,
) -> Options:
    from ecrlab.lab.options import Options

    return Options(
        host=host,
        port=port,
        account_id=account_id,
        region=region,
        access_key_id=access_key_id,
        secret_access_key=secret_access_key,
        uri_style=uri_style.value if uri_style else None,
        engine=engine,
    )


def _say(text: str) -> None:
    print(text, flush=True)


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
)
def serve(context: typer.Context) -> None:
    """Run the cloud and the embedded engine in the foreground, for any client."""
    from ecrlab.cli.serve import serve as run_serve

    raise typer.Exit(run_serve(context.args))


@app.command()
def start(
    state_dir: StateOption = None,
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace", help="The folder of your copies.", envvar="ECRLAB_WORKSPACE", show_default="~/ecrlab"
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open JupyterLab in the browser.")] = True,
    jupyter_port: Annotated[
        int | None,
        typer.Option("--jupyter-port", min=1, max=65535, help="The port of JupyterLab.", show_default="8888 or next"),
    ] = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = None,
    account_id: AccountOption = None,
    region: RegionOption = None,
    access_key_id: KeyOption = None,
    secret_access_key: SecretOption = None,
    uri_style: UriOption = None,
    engine: Annotated[StartEngine, typer.Option("--engine", help="The Docker Engine.")] = StartEngine.auto,
) -> None:
    """Open JupyterLab with the lessons, with the cloud and an engine behind it."""
    from ecrlab.cli.serve import say_where
    from ecrlab.lab.browser import has_screen, open_once
    from ecrlab.lab.jupyter import Notebooks
    from ecrlab.lab.processes import free_port
    from ecrlab.lab.service import run
    from ecrlab.lab.workspace import default_workspace, deliver

    state = _state(state_dir)
    state.create()
    if jupyter_port is not None:
        free_port(jupyter_port, None, option="--jupyter-port")
    folder = (workspace.expanduser() if workspace is not None else default_workspace()).absolute()
    delivery = deliver(folder)

    def ready(address: Address) -> None:
        _say(f"workspace   {folder}")
        for name in delivery.kept:
            _say(f"  your own {name} was left as it is")
        _say(f"JupyterLab  {address.browser_url}")
        _say("Ctrl-C here, or `ecrlab stop`, ends it.")
        if browser and has_screen():
            open_once(address.browser_url)

    options = _options(host, port, account_id, region, access_key_id, secret_access_key, uri_style, engine.value)
    try:
        status = run(state, options, ready=say_where, notebooks=Notebooks(folder, jupyter_port, ready))
    except StateBusy:
        status = _start_beside(state, options, Notebooks(folder, jupyter_port, ready), browser)
    raise typer.Exit(status)


def _start_beside(state: StateDir, options: Options, notebooks: Notebooks, browser: bool) -> int:
    from ecrlab.cli.serve import say_where
    from ecrlab.lab.background import running
    from ecrlab.lab.browser import has_screen, open_once
    from ecrlab.lab.jupyter import find, run_beside
    from ecrlab.lab.options import check_same

    record = running(state)
    check_same(record, options)
    _say(f"A lab runs on {state.path} already (pid {record.pid}); JupyterLab joins it.")
    say_where(record)
    if (address := find(state)) is not None:
        _say(f"JupyterLab  {address.browser_url}")
        if browser and has_screen():
            open_once(address.browser_url).join()
        return 0
    return run_beside(state, record, notebooks)


@app.command()
def env(
    state_dir: StateOption = None,
    shell: Annotated[Shell, typer.Option("--shell", help="The shell that reads the lines.")] = Shell.sh,
) -> None:
    """Print the lines that point a shell at the running lab: eval "$(ecrlab env)"."""
    from ecrlab.lab.background import running
    from ecrlab.lab.environment import shell_lines

    state = _state(state_dir)
    sys.stdout.write(shell_lines(state, running(state), shell.value))


@app.command()
def status(
    state_dir: StateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say whether a lab runs, and where. Exit status 1 when none runs or it does not answer."""
    from ecrlab.lab.status import look

    report = look(_state(state_dir))
    if as_json:
        import json

        _say(json.dumps(report.values(), indent=2))
    else:
        _say(report.text())
    raise typer.Exit(0 if report.answers else 1)


@app.command()
def stop(state_dir: StateOption = None) -> None:
    """End the running lab: the cloud, the engine and JupyterLab."""
    from ecrlab.lab.background import stop as end

    state = _state(state_dir)
    _say("The lab is ended." if end(state) else f"No lab runs on {state.path}.")


@app.command()
def reset(
    state_dir: StateOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Empty the registries, the embedded engine and the docker logins. Your workspace is kept."""
    from ecrlab.lab.background import reset as wipe

    state = _state(state_dir)
    if not yes and not typer.confirm(f"Delete all repositories and images of the lab in {state.path}?"):
        raise LabError("Nothing was deleted.")
    for sentence in wipe(state):
        _say(sentence)


clock = typer.Typer(help="The lab's clock: tell it, or move it forward.", add_completion=False)
app.add_typer(clock, name="clock")


@clock.callback(invoke_without_command=True)
def tell_clock(context: typer.Context, state_dir: StateOption = None) -> None:
    """Tell the lab's time."""
    context.obj = state_dir
    if context.invoked_subcommand is None:
        _say(repr(_clock(state_dir)))


@clock.command("advance")
def advance_clock(
    context: typer.Context,
    step: Annotated[str, typer.Argument(help="How far: 15d, 12h, 90m, 30s or 1d12h.")],
    state_dir: StateOption = None,
) -> None:
    """Move the lab's clock forward: tokens expire, lifecycle rules act, scans are due again."""
    from ecrlab.lab.clock import parse_step

    try:
        seconds = parse_step(step).total_seconds()
    except (ValueError, OverflowError) as error:
        raise LabError(f"{error}.") from error
    moved = _clock(state_dir if state_dir is not None else context.obj)
    moved.advance(seconds=seconds)
    _say(repr(moved))


def _clock(state_dir: Path | None) -> Clock:
    from ecrlab.lab.background import running
    from ecrlab.lab.clock import Clock

    return Clock(running(_state(state_dir)))


@app.command()
def cost(
    state_dir: StateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what the registries would cost at AWS until the lab's now: storage, archive, restores, pulls."""
    from ecrlab.lab.background import running
    from ecrlab.lab.cost import Cost

    costs = Cost.read(running(_state(state_dir)))
    if as_json:
        import json

        _say(json.dumps(costs.values(), indent=2))
    else:
        _say(repr(costs))


@app.command()
def doctor(state_dir: StateOption = None) -> None:
    """Look for what could keep the lab from working. Exit status 1 when there is a problem."""
    from ecrlab.lab.doctor import examine

    findings = examine(_state(state_dir))
    for finding in findings:
        _say(finding.text())
    problems = sum(finding.verdict == "problem" for finding in findings)
    _say(f"{problems} problem{'s' if problems != 1 else ''} found." if problems else "Everything is in order.")
    raise typer.Exit(1 if problems else 0)


def _version(wanted: bool) -> None:
    if wanted:
        import ecrlab

        _say(f"ecrlab {ecrlab.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    return
