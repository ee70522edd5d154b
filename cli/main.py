"""The command `enc`: a group whose commands are imported when they are asked for."""

import importlib

import click

from .command import EncGroup

COMMANDS = {
    "build-features": "build_features",
    "train-head": "train_head",
    "fine-tune": "fine_tune",
    "score": "score",
    "evaluate": "evaluate",
    "rerun": "rerun",
    "report": "report",
    "predict": "predict",
    "audit": "audit",
    "next": "next",
    "features": "features",
    "import-features": "import_features",
    "store": "store",
    "calibrate": "calibrate",
    "export-onnx": "export_onnx",
    "export-head": "export_head",
    "import-head": "import_head",
    "merge-head": "merge_head",
    "push": "push",
    "bench": "bench",
    "doctor": "doctor",
}


class _LazyGroup(EncGroup):
    """Finds a command's module by name; the modules import click alone, and the rest when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f".{COMMANDS[cmd_name]}", __package__).command


def _versions(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the versions of enc, Python, and the libraries that decide the numbers."""
    if not wanted or ctx.resilient_parsing:
        return
    from ..engine.doctor import versions

    found = versions()
    click.echo(f"enc {found.pop('enc-features')}, Python {found.pop('Python')}")
    for package, version in found.items():
        click.echo(f"  {package:<15} {version or 'not installed'}")
    ctx.exit()


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_versions,
    help="Show the versions and exit.",
)
def main() -> None:
    """Turn text into BERT features once, fast, and train on them ever after.

    A first run:

    \b
      enc build-features reviews.tsv --store features
      enc train-head reviews.tsv --valid-fraction 0.2 --store features --output head
      enc score new.tsv scored.parquet --head head --store features

    `enc COMMAND --help` tells more of each command.

    Exit codes: 0 done, 2 a mistake that you can mend, 3 done with rejected rows (--strict),
    130 interrupted by Ctrl-C, 143 ended by SIGTERM, 1 a defect of enc.
    """
