"""`enc export-head`"""

import json

import click

from .command import EncCommand
from .options import code_option, json_option
from .values import allows_code


@click.command("export-head", cls=EncCommand, short_help="Write a head's weights as a torch state_dict.")
@click.argument("head_folder", metavar="HEAD")
@click.argument("output", metavar="OUT.pth")
@code_option
@json_option
def command(head_folder: str, output: str, allow_code: bool, as_json: bool) -> None:
    """Write the weights of HEAD as a torch state_dict: fc1.weight and fc1.bias of a linear head.

    `torch.load(OUT.pth, weights_only=True)` reads it.
    """
    from ..engine import Head
    from ..engine.heads.state_dict import export_state_dict

    head = Head.load(head_folder, allow_code=allows_code(is_allowed=allow_code))
    names = export_state_dict(head, output)
    if as_json:
        click.echo(
            json.dumps(
                {"output": output, "names": names, "labels": list(head.labels.values)}, ensure_ascii=False
            )
        )
    else:
        click.echo(
            f"written: {output} with {', '.join(names)}; outputs in the order "
            f"{', '.join(map(str, head.labels.values))}"
        )
