"""`enc rerun`"""

import json
import shlex
import sys

import click

from .command import EncCommand
from .errors import Terminated
from .options import code_option, json_option
from .text import figure_text, table_text
from .voice import is_quiet, note


@click.command("rerun", cls=EncCommand, short_help="Train a head again, as it was trained.")
@click.argument("head_folder", metavar="HEAD")
@click.option(
    "--output",
    type=click.Path(),
    metavar="DIR",
    help="Folder for the new head, which must not be there yet.  [default: HEAD with .again at its end]",
)
@click.option("--dry-run", is_flag=True, help="Only print the command.")
@code_option
@json_option
def command(head_folder: str, output: str | None, dry_run: bool, allow_code: bool, as_json: bool) -> None:
    """Do again what HEAD, a head or a fine-tuned model, records, and tell what came out differently. HEAD is
    a folder or a URL; heads that `enc push` put on the hub do not record what made them.

    The command is run where you are, so that its relative paths must hold there. It is compared with HEAD:
    whether the rows, the versions of libraries and the weights are the same.
    """
    from ..engine.encode.hub_names import HubName
    from ..engine.heads.output import require_output
    from ..engine.rerun import Recorded, difference
    from ..store import HeadError
    from ..store.places import place_of

    recorded = Recorded.of(head_folder)
    hub = HubName.of(head_folder)
    folder = output or f"{hub.name if hub else head_folder.rstrip('/')}.again"
    words = recorded.command(folder)
    shown = shlex.join(["enc", *words])
    if dry_run:
        click.echo(json.dumps({"command": shown}, ensure_ascii=False) if as_json else shown)
        return
    if recorded.runs_code and not allow_code:
        raise HeadError(f"'{head_folder}' was trained with code of yours; to run that, add --allow-code")
    if place_of(folder).exists():
        raise HeadError(f"'{folder}' is there already; name a new folder with --output")
    require_output(folder)
    note(shown)
    code = _run(["-q", *words] if is_quiet() else words, to_stderr=as_json)
    if code:
        click.get_current_context().exit(code)
    found = difference(recorded, folder)
    if as_json:
        values = {"command": shown, "output": folder, "is_same": found.is_same, "causes": list(found.causes)}
        click.echo(json.dumps({**values, "figures": found.figures}, ensure_ascii=False))
        return
    state = "the same as" if found.is_same else "not the same as"
    click.echo(f"'{folder}' is {state} '{head_folder}', by its weights")
    for cause in found.causes:
        click.echo(cause)
    if found.figures:
        rows = [
            (name, figure_text(before), figure_text(after)) for name, (before, after) in found.figures.items()
        ]
        click.echo(table_text(("", "before", "again"), rows, right=("before", "again")))


def _run(words: list[str], *, to_stderr: bool) -> int:
    """Run a command of enc in a process of its own; its exit code. An interruption is handed on to it."""
    import subprocess

    code = "from enc.cli.main import main; main(prog_name='enc')"
    process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=2 if to_stderr else None)
    try:
        return process.wait()
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, Terminated):
            process.terminate()  # Ctrl-C of a terminal has reached it already
        process.wait()
        raise
