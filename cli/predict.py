"""`enc predict`"""

import json
from typing import Any

import click

from . import common


@click.command("predict", cls=common.EncCommand, short_help="Try a head on texts.")
@click.option("--head", "head_folder", required=True, type=click.Path(), metavar="DIR", help="A head made by train-head.")
@click.argument("texts", nargs=-1, metavar="[TEXT]…")
@click.option("--pair", "pairs", nargs=2, multiple=True, metavar="TEXT TEXT", help="A pair of texts; may be given several times.")
@click.option("--model", metavar="NAME", help="The head's encoder, if its folder has moved.")
@common.backend_options
@common.json_option
def command(
    head_folder: str,
    texts: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    model: str | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Try a head on texts: the label and the probability of each class."""
    from ..engine import Head, load_encoder_of, predict_texts
    from ..store import SourceError

    if bool(texts) == bool(pairs):
        raise SourceError('give something to predict: texts ("…" "…"), or pairs (--pair "…" "…")')
    head = Head.load(head_folder)
    if bool(pairs) != bool(head.pair_column):
        wanted = "pairs; pass --pair TEXT TEXT" if head.pair_column else "single texts; pass them without --pair"
        raise SourceError(f"the head was trained on {wanted}")
    empty = [text for text in (texts or [a + b for a, b in pairs]) if not text.strip()]
    if empty:
        raise SourceError("a text is empty; there is nothing to predict")
    encoder = load_encoder_of(head.spec, model=model, **common.backend_values(values))
    firsts, seconds = (texts, None) if texts else zip(*pairs, strict=True)
    for number, probabilities in enumerate(predict_texts(head, list(firsts), encoder, list(seconds) if seconds else None)):
        label, score = next(iter(probabilities.items()))
        if as_json:
            shares = {str(name): share for name, share in probabilities.items()}
            click.echo(json.dumps({"prediction": label, "score": score, "proba": shares}, ensure_ascii=False))
        else:
            shown = "  ".join(f"{name} {share:.3f}" for name, share in list(probabilities.items())[:10])
            text = texts[number] if texts else " | ".join(pairs[number])
            click.echo(f"{label}\t{shown}\t{text}")
