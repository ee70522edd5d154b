"""`enc predict`"""

import json
from typing import TYPE_CHECKING, Any

import click

from .command import EncCommand
from .options import backend_options, classifier_options, json_option
from .text import cells_of, fitted, table_in_terminal
from .values import backend_values, load_classifier
from .voice import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.scoring.predict import Prediction

_SHOWN_LABELS = 10
_LABEL_CELLS, _TEXT_CELLS = 24, 60


@click.command("predict", cls=EncCommand, short_help="Try a head on texts.")
@classifier_options
@click.argument("texts", nargs=-1, metavar="[TEXT]…")
@click.option(
    "--tokens",
    "tokens_too",
    is_flag=True,
    help="Show the tokens, too, with their segment ids; of pairs they are shown.",
)
@click.option(
    "--pair",
    "pairs",
    nargs=2,
    multiple=True,
    metavar="TEXT TEXT",
    help="A pair of texts; may be given several times.",
)
@backend_options
@json_option
def command(
    texts: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    tokens_too: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Try a head on texts: the label (or labels, or number) and the probability of each class."""
    from ..store import SourceError

    if bool(texts) == bool(pairs):
        raise SourceError('give something to predict: texts ("…" "…"), or pairs (--pair "…" "…")')
    empty = [text for text in (texts or [a + b for a, b in pairs]) if not text.strip()]
    if empty:
        raise SourceError("a text is empty; there is nothing to predict")
    head, model = load_classifier(values)
    if bool(pairs) != bool(head.pair_column):
        wanted = (
            "pairs; pass --pair TEXT TEXT" if head.pair_column else "single texts; pass them without --pair"
        )
        raise SourceError(f"the head was trained on {wanted}")
    from ..engine import load_encoder_of, predict_texts

    encoder = load_encoder_of(head.spec, model=model, **backend_values(values), say=note)
    firsts, seconds = list(texts), None
    if pairs:
        firsts, seconds = [first for first, _ in pairs], [second for _, second in pairs]
    predictions = predict_texts(head, firsts, encoder, seconds)
    read: list[tuple[list[str], list[int]]] = []
    if pairs or tokens_too:
        from ..engine.encode.checkpoint import checkpoint_of

        checkpoint = checkpoint_of(
            model or head.spec.model, verify_model=values["verify_model"], **head.spec.setting
        )
        if seconds is not None and head.combination is not None:
            read = checkpoint.token_texts(checkpoint.tokenize([*firsts, *seconds]))
            read = [
                (one[0] + other[0], one[1] + [1] * len(other[1]))
                for one, other in zip(read[: len(firsts)], read[len(firsts) :], strict=True)
            ]
        else:
            read = checkpoint.token_texts(checkpoint.tokenize(firsts, seconds))
    if as_json:
        for number, prediction in enumerate(predictions):
            tokens, segment_ids = read[number] if read else ([], [])
            shown_tokens = {"tokens": tokens, "segment_ids": segment_ids} if tokens else {}
            click.echo(json.dumps(_as_json(prediction) | shown_tokens, ensure_ascii=False))
        return
    shown = texts or [" | ".join(pair) for pair in pairs]
    click.echo(_predictions_text(predictions, shown, list(head.labels.values)))
    for text, (tokens, segment_ids) in zip(shown, read, strict=False):
        click.echo(f"\n{fitted(text, _TEXT_CELLS)}\n{_tokens_text(tokens, segment_ids)}")


def _predictions_text(
    predictions: "Sequence[Prediction]", texts: "Sequence[str]", labels: "Sequence[Any]"
) -> str:
    """A line for each text: the label, the probability of each label, or of the likeliest, and the text."""
    if predictions[0].proba:
        likeliest = sorted(labels, key=lambda label: -max(one.proba[label] for one in predictions))
        labels = [label for label in labels if label in likeliest[:_SHOWN_LABELS]]
    titles = ["prediction", *(fitted(str(label), _LABEL_CELLS) for label in labels), "text"]
    rows = [
        [
            fitted(_value_text(one.value), _TEXT_CELLS),
            *(f"{one.proba[label]:.3f}" for label in labels),
            text,
        ]
        for one, text in zip(predictions, texts, strict=True)
    ]
    return table_in_terminal(titles, rows, right=titles[1:-1])


def _value_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


def _tokens_text(tokens: list[str], segment_ids: list[int]) -> str:
    """Tokens with the segment of each below it."""
    columns = [["tokens", *tokens], ["segments", *map(str, segment_ids)]]
    widths = [max(map(cells_of, pair)) for pair in zip(*columns, strict=True)]
    widths[0] += 1
    lines = [
        " ".join(cell + " " * (width - cells_of(cell)) for cell, width in zip(line, widths, strict=True))
        for line in columns
    ]
    return "\n".join(f"  {line}".rstrip() for line in lines)


def _as_json(prediction: "Prediction") -> dict[str, Any]:
    """A single label comes with its probability as score, and so do several; a number has none."""
    if not prediction.proba:
        return {"prediction": prediction.value}
    several = isinstance(prediction.value, list)
    score = (
        [prediction.proba[label] for label in prediction.value]
        if several
        else prediction.proba[prediction.value]
    )
    shares = {str(name): share for name, share in prediction.proba.items()}
    return {"prediction": prediction.value, "score": score, "proba": shares}
