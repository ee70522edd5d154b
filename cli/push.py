"""`enc push`"""

import dataclasses
import json

import click

from .command import EncCommand
from .options import code_option, json_option
from .values import allows_code
from .voice import note, warn


@click.command("push", cls=EncCommand, short_help="Put a head or a model on the Hugging Face hub.")
@click.argument("folder", metavar="HEAD")
@click.argument("repo", metavar="OWNER/REPO")
@click.option("--private", is_flag=True, help="Make a repository that only its owner sees.")
@click.option(
    "--revision", metavar="BRANCH", help="Push to this branch, made if it is not there.  [default: main]"
)
@click.option(
    "--base-model",
    metavar="OWNER/NAME",
    help="What the head's encoder is called on the hub.  [default: as it was named in training]",
)
@code_option
@json_option
def command(
    folder: str,
    repo: str,
    private: bool,
    revision: str | None,
    base_model: str | None,
    allow_code: bool,
    as_json: bool,
) -> None:
    """Put HEAD, a head or a fine-tuned model, into a repository of the hub, as one commit.

    Its weights, JSON and a model card are sent: no reports, no rows, and no names of your folders. Then
    `enc predict --head hf://OWNER/REPO` and all commands with --head take it from there.
    The token is that of `hf auth login`, or of HF_TOKEN.
    """
    from ..engine.push import push_head

    pushed = push_head(
        folder,
        repo,
        private=private,
        revision=revision,
        base_model=base_model,
        allow_code=allows_code(is_allowed=allow_code),
        say=note,
    )
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(pushed), ensure_ascii=False))
        return
    for remark in pushed.remarks:
        warn(f"note: {remark}")
    what = f"pushed: {pushed.url}" if pushed.is_changed else f"nothing has changed: {pushed.url}"
    click.echo(f"{what}, {'private' if pushed.private else 'public'}, commit {pushed.commit[:12]}")
    click.echo("files: " + ", ".join(f"{name} {size:,}" for name, size in pushed.files.items()))
    if pushed.removed:
        click.echo("removed, of an earlier push: " + ", ".join(pushed.removed))
    revision_part = "" if pushed.revision == "main" else f"@{pushed.revision}"
    click.echo(f'try it: enc predict --head hf://{pushed.repo}{revision_part} "A text."')
