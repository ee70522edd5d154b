"""`enc merge-head`"""

import json

import click

from .command import EncCommand
from .options import json_option


@click.command(
    "merge-head", cls=EncCommand, short_help="Make a model of a head of upper layers and its encoder."
)
@click.argument("head_folder", metavar="HEAD")
@click.argument("output", metavar="DIR")
@click.option("--model", metavar="DIR", help="The original model, where its folder has moved.")
@click.option(
    "--without-words", is_flag=True, help="Of a head with words, merge the layers alone, without them."
)
@click.option("--overwrite", is_flag=True, help="Replace a model that is in DIR.")
@json_option
def command(
    head_folder: str, output: str, model: str | None, without_words: bool, overwrite: bool, as_json: bool
) -> None:
    """Write HEAD, which `enc train-head --head encoder` trained, and the layers below it as one ordinary
    model.

    `AutoModelForSequenceClassification.from_pretrained(DIR)` of transformers loads it, and
    `enc score --model DIR` scores with it.
    """
    from ..engine import Head
    from ..engine.merge import merge_head

    head = Head.load(head_folder)
    if without_words:
        head = head.replace(words=None)
    merge_head(head, output, model=model, overwrite=overwrite)
    first, layers = head.spec.layers[0], head.arguments["layers"]
    if as_json:
        click.echo(json.dumps({"output": output, "layers_below": first, "layers_above": layers}))
    else:
        below = f"{first} layers" if first else "the embeddings"
        click.echo(f"written: {output}; {below} as they were, and {layers} layers of the head above them")
