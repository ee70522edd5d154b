"""The page of a published head: README.md with the metadata that the hub reads."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from ...store.errors import one_line
from ..encode.hub_names import HubName
from ..heads.head import Head
from ..heads.kinds import TUNED
from .public import Public

LIBRARY = "enc-features"
_MARK = "<!-- written by enc push: "
_METRICS = {
    "accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "f1",
    "mcc": "matthews_correlation", "auc": "roc_auc", "pearson": "pearsonr", "spearman": "spearmanr",
    "mse": "mse", "mae": "mae",
}  # fmt: skip
"""Names that the hub has for what enc calls by the first."""
_SHOWN_LABELS = 50


def model_card(name: HubName, head: Head, public: Public) -> str:
    """The page as Markdown with YAML before it. Its last line is a digest of the rest: see :func:`is_own`."""
    from huggingface_hub import EvalResult, ModelCardData

    base_model, figures = public.base_model, dict(_figures(head.metrics))
    rows = str(head.record.get("figures_of") or "rows that were held out of training")
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type="other",
            dataset_name=rows,
            metric_type=_METRICS[told],
            metric_name=told,
            metric_value=round(figure, 6),
        )
        for told, figure in figures.items()
    ]
    data = ModelCardData(
        library_name=LIBRARY,
        pipeline_tag="text-classification",
        base_model=base_model,
        tags=["enc", head.task.name],
        metrics=[_METRICS[told] for told in figures] or None,
        model_name=name.name if results else None,
        eval_results=results or None,
    )
    body = f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(_lines(name, head, public, figures, rows)) + "\n"
    return f"{body}\n{_MARK}{_digest(body)} -->\n"


def is_own(card: str) -> bool:
    """Whether a page is as :func:`model_card` wrote it."""
    body, mark, rest = card.rpartition(f"\n{_MARK}")
    return bool(mark) and rest.strip() == f"{_digest(body)} -->"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _figures(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    given = {name.removeprefix("eval_"): value for name, value in metrics.items()}
    found = [(name, given.get(name)) for name in _METRICS]
    return [(name, float(x)) for name, x in found if isinstance(x, (int, float)) and math.isfinite(x)]


def _lines(name: HubName, head: Head, public: Public, figures: Mapping[str, float], rows: str) -> list[str]:
    base_model = public.base_model
    spec, labels = head.spec, [f"`{_shown(value)}`" for value in head.labels.values[:_SHOWN_LABELS]]
    kind = "fine-tuned model" if head.kind == TUNED else f"head of kind `{head.kind}`"
    encoder = (
        f"[`{base_model}`](https://huggingface.co/{base_model})" if base_model else "an encoder that it names"
    )
    option = "--model" if head.kind == TUNED else "--head"
    texts = '--pair "One text." "Another one."' if head.pair_column else '"A text." "Another one."'
    given = '["One text."], encoder, ["Another one."]' if head.pair_column else '["A text."], encoder'
    lines = [
        f"# {name.name}",
        "",
        f"A {kind} on BERT features of {encoder}, made with enc "
        f"([{LIBRARY}](https://pypi.org/project/{LIBRARY}/)).",
        f"Its task is {head.task.name}.",
    ]
    if labels:
        more = len(head.labels) - len(labels)
        lines += ["", f"Labels: {', '.join(labels)}{f', and {more} more' if more else ''}."]
    lines += [
        "", "## How to use it", "", "```sh", f"pip install {LIBRARY}",
        f"enc predict {option} {name} {texts}",
        f"enc score new.parquet scored.parquet {option} {name} --store features", "```", "",
        "```python", "import enc", "", f'head = enc.load_classifier("{name}")',
        "encoder = enc.engine.load_encoder_of(head.spec)", f"print(enc.predict(head, {given}))", "```",
    ]  # fmt: skip
    if head.kind == TUNED:
        lines += ["", f'`AutoModelForSequenceClassification.from_pretrained("{name.repo}")` loads it, too.']
    if figures:
        lines += ["", "## Figures", "", f"On {rows}:", "", "| metric | value |", "| --- | ---: |"]
        lines += [f"| {told} | {figure:.4f} |" for told, figure in figures.items()]
    setting = {
        "encoder": base_model or public.model, "weights": spec.weights[:12], "layers": _list(spec.layers),
        "pooling": _list(spec.pooling),
        "after pooling": ", ".join(step.partition(":")[0] for step in spec.after_pooling),
        "maximum length": spec.max_length, "prefix": f"`{spec.prefix}`" if spec.prefix else "",
        "long texts": spec.long_text, "stored as": spec.dtype, "precision": spec.precision,
    }  # fmt: skip
    lines += ["", "## Features", "", "| setting | |", "| --- | --- |"]
    lines += [f"| {told} | {value} |" for told, value in setting.items() if value != ""]
    lines += ["", "The encoder's files are compared with these weights when the head is used."]
    return lines


def _shown(label: Any) -> str:
    """A label as code of Markdown."""
    return one_line(str(label)).replace("`", "'")[:80]


def _list(values: tuple[Any, ...]) -> str:
    return ", ".join(map(str, values))
