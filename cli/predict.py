"""`enc predict`"""

import json
from typing import TYPE_CHECKING, Any

import click

from . import common

if TYPE_CHECKING:
    from ..engine.score import Prediction


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
    """Try a head on texts: the label (or labels, or number) and the probability of each class."""
    from ..engine import Head, load_encoder_of, predict_texts
    from ..store import SourceError

    if bool(texts) == bool(pairs):
        raise SourceError('give something to predict: texts ("…" "…"), or pairs (--pair "…" "…")')
    common.find_local_modules()
    head = Head.load(head_folder)
    if bool(pairs) != bool(head.pair_column):
        wanted = "pairs; pass --pair TEXT TEXT" if head.pair_column else "single texts; pass them without --pair"
        raise SourceError(f"the head was trained on {wanted}")
    empty = [text for text in (texts or [a + b for a, b in pairs]) if not text.strip()]
    if empty:
        raise SourceError("a text is empty; there is nothing to predict")
    encoder = load_encoder_of(head.spec, model=model, **common.backend_values(values))
    firsts, seconds = (texts, None) if texts else zip(*pairs, strict=True)
    predictions = predict_texts(head, list(firsts), encoder, list(seconds) if seconds else None)
    for number, prediction in enumerate(predictions):
        if as_json:
            click.echo(json.dumps(_as_json(prediction), ensure_ascii=False))
        else:
            value = prediction.value
            answer = (
                f"{value:.4g}" if isinstance(value, float) else ", ".join(map(str, value)) if isinstance(value, list) else value
            )
            shown = "  ".join(f"{name} {share:.3f}" for name, share in list(prediction.proba.items())[:10])
            text = texts[number] if texts else " | ".join(pairs[number])
            click.echo("\t".join([str(answer), *([shown] if shown else []), text]))


def _as_json(prediction: "Prediction") -> dict[str, Any]:
    """A single label comes with its probability as score, and so do several; a number has none."""
    if not prediction.proba:
        return {"prediction": prediction.value}
    several = isinstance(prediction.value, list)
    score = [prediction.proba[label] for label in prediction.value] if several else prediction.proba[prediction.value]
    shares = {str(name): share for name, share in prediction.proba.items()}
    return {"prediction": prediction.value, "score": score, "proba": shares}
