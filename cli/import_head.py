"""`enc import-head`"""

import json

import click

from .command import EncCommand
from .options import code_option, json_option, store_option
from .values import allows_code, key_values


@click.command("import-head", cls=EncCommand, short_help="Make a head of a torch state_dict.")
@click.argument("weights", metavar="IN.pth")
@click.argument("output", metavar="HEAD")
@store_option
@click.option(
    "--features", metavar="NAME", help="Feature set whose features the weights take.  [default: the only one]"
)
@click.option(
    "--labels", required=True, metavar="LIST", help="Labels in the order of the outputs, such as 0,1."
)
@click.option(
    "--text-column",
    default="sentence",
    show_default=True,
    metavar="NAME",
    help="Column of the text in what is scored.",
)
@click.option(
    "--head",
    "kind",
    default="linear",
    show_default=True,
    metavar="KIND",
    help="Kind of head that the weights are of.",
)
@click.option(
    "--head-args",
    multiple=True,
    metavar="ARGS",
    help="Its arguments: hidden=256,dropout=0.2 or a JSON object.",
)
@code_option
@json_option
def command(
    weights: str,
    output: str,
    store: str,
    features: str | None,
    labels: str,
    text_column: str,
    kind: str,
    head_args: tuple[str, ...],
    allow_code: bool,
    as_json: bool,
) -> None:
    """Make HEAD of a state_dict that torch.save wrote, such as fc1.weight and fc1.bias of a linear layer.

    Only tensors are read from the file, never code.
    """
    from ..engine.heads.labels import Labels
    from ..engine.heads.output import require_output
    from ..engine.heads.state_dict import import_state_dict
    from ..store import Store

    require_output(output)
    table = Store(store).open(features)
    head = import_state_dict(
        weights,
        table.spec,
        Labels.parse(labels.split(",")),
        feature_set=table.name,
        text_column=text_column,
        kind=kind,
        arguments=key_values(head_args, "--head-args"),
        allow_code=allows_code(is_allowed=allow_code),
    )
    head.save(output)
    if as_json:
        click.echo(json.dumps({"output": output, "labels": list(head.labels.values)}, ensure_ascii=False))
    else:
        click.echo(
            f"head saved in '{output}': {kind}, labels {', '.join(map(str, head.labels.values))}, "
            f"features '{table.name}'"
        )
