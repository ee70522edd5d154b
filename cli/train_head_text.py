"""What `enc train-head` prints: the rows, each epoch, and the figures of the head."""

from typing import TYPE_CHECKING

from .text import count_text, figures_table, figures_text, matrix_text, rows_of

if TYPE_CHECKING:
    from ..engine import Head
    from ..engine.train.fit import EpochResult
    from ..engine.train.solve import PathResult
    from ..engine.train.summary import SetSummary

_SHOWN_CLASSES = 20
_MATRIX_CLASSES = 10
_STILL_FALLING = 0.01  # of the loss, in the last epoch


def counts_text(*sets: "SetSummary") -> str:
    """Rows and labels of the sets, a line each; folds train and validate on one set."""
    lines = [(one.name, f"{one.rows:,}", _labels_text(one)) for one in sets]
    return rows_of(list(dict.fromkeys(lines)))


def _labels_text(rows: "SetSummary") -> str:
    shown = list(rows.counts.items())[:_SHOWN_CLASSES]
    labels = ", ".join(f"{label}: {count:,}" for label, count in shown)
    if rows.span:
        labels = f"labels from {rows.span[0]:g} to {rows.span[1]:g}"
    left_out = []
    if rows.unlabelled:
        left_out.append(f"{rows.unlabelled:,} without label")
    if rows.rejected:
        left_out.append(f"{rows.rejected:,} rejected")
    if left_out:
        return f"rows ({labels}); left out: {', '.join(left_out)}"
    return f"rows ({labels})"


def epoch_text(result: "EpochResult", epochs: int) -> str:
    """One epoch of gradient descent."""
    number = str(result.epoch).rjust(len(str(epochs)))
    return f"epoch {number}/{epochs}  {_sides(result)}  {result.seconds:.2f} s"


def path_text(result: "PathResult") -> str:
    """One strength of regularisation."""
    return f"l2 {result.l2:<7g} {_sides(result)}  {result.iterations} iterations  {result.seconds:.2f} s"


def _sides(result: "EpochResult | PathResult") -> str:
    return f"train {figures_text(result.train)}  valid {figures_text(result.valid)}"


def result_text(head: "Head") -> str:
    """Metrics, confusion matrix of few classes, and whether the head's size suits the rows."""
    metrics = head.metrics
    counts = ("epoch", "train_rows", "valid_rows", "parameters")
    figures = {
        name: value
        for name, value in metrics.items()
        if name not in (*counts, "majority_rate", "confusion_matrix", "test")
    }
    if "majority_rate" in metrics:
        figures["majority class"] = metrics["majority_rate"]
    kept = f"l2 {head.record['l2']:g}" if "l2" in head.record else f"epoch {metrics['epoch']}"
    of = f"; figures of {head.record['figures_of']}" if "figures_of" in head.record else ""
    columns = {"held out" if of else "valid": figures, **_compared(head)}
    lines = [f"kept {kept}{of}", figures_table(columns)]
    if (
        head.task.name == "single-label"
        and len(head.labels) <= _MATRIX_CLASSES
        and "confusion_matrix" in metrics
    ):
        lines.append(matrix_text([str(label) for label in head.labels.values], metrics["confusion_matrix"]))
    lines += _words_text(head)
    if head.kind == "encoder":  # its layers were pre-trained: the rule of thumb is not about them
        return "\n".join([*lines, f"{metrics['parameters']:,} parameters, most of them pre-trained"])
    return "\n".join([*lines, _size_text(head)])


def _compared(head: "Head") -> dict[str, dict[str, float | None]]:
    """Figures that stand beside those of the validation rows: of test rows, and of words."""
    found: dict[str, dict[str, float | None]] = {}
    if "test" in head.metrics:
        test = head.metrics["test"]
        shown = {name: value for name, value in test.items() if name not in ("rows", "confusion_matrix")}
        found[f"test, {count_text(test['rows'], 'row')}"] = shown
    words, metric = head.record.get("words"), head.task.metric
    if words:
        found["without words"] = {metric: words["without"][metric]}
    alone = words or head.record.get("baseline")
    if alone is not None:
        found["words alone"] = {metric: alone["alone"][metric]}
    return found


def _words_text(head: "Head") -> list[str]:
    alone = head.record.get("words") or head.record.get("baseline")
    return [] if alone is None else [f"words alone are {alone['features']}"]


def _size_text(head: "Head") -> str:
    """How large the head is, and what the validation rows say of that."""
    parameters, rows = head.metrics["parameters"], head.metrics["train_rows"]
    per_row = parameters / rows
    ratio = f"{per_row:,.0f}" if per_row > 10 else f"{per_row:.2g}"
    size = f"{parameters:,} parameters for {rows:,} training rows: {ratio} a row"
    advice = _path_advice(head) if "l2" in head.record else _epochs_advice(head)
    return f"{size}\n{advice}" if advice else size


def _path_advice(head: "Head") -> str:
    """What the best of several strengths of regularisation says, where it is the first or the last one."""
    tried, kept = sorted(head.record.get("config", {}).get("l2", ())), head.record["l2"]
    if len(tried) < 2 or kept not in (tried[0], tried[-1]):
        return ""
    if kept == tried[0]:
        return "the weakest --l2 is the best: a weaker one, or features of more layers, may learn more"
    return "the strongest --l2 is the best: a stronger one, or more rows, may generalize better"


def _epochs_advice(head: "Head") -> str:
    """Whether training ended too soon; else what the difference of training and validation rows says, where
    it is known with its error.
    """
    epoch, valid = head.metrics["epoch"], head.metrics.get("accuracy")
    if falling := _falling_text(head):
        return falling
    if head.task.name != "single-label" or valid is None or not 0 < epoch <= len(head.history):
        return ""
    train = head.history[epoch - 1].get("train_accuracy")
    if train is None:
        return ""
    error = (valid * (1 - valid) / head.metrics["valid_rows"]) ** 0.5
    both = f"accuracy {train:.3f} on training rows and {valid:.3f} on the others"
    if train - valid > 2 * error:
        return f"{both}: more rows, a smaller head or a higher --weight-decay may generalize better"
    return (
        f"{both}, alike but for chance: more epochs, a larger head or features of more layers may learn more"
    )


def _falling_text(head: "Head") -> str:
    """That the kept epoch is the last one, and the validation rows' loss was falling still."""
    if "figures_of" in head.record:  # trained on all rows: its history has no rows of their own
        return ""
    losses: list[float] = [
        row["valid_loss"] for row in head.history[-2:] if row.get("valid_loss") is not None
    ]
    if len(losses) < 2 or head.metrics["epoch"] != len(head.history):
        return ""
    before, last = losses
    if not last < before * (1 - _STILL_FALLING):
        return ""
    ways = "more --epochs or a higher --learning-rate"
    if head.kind == "linear":
        ways = "more --epochs, a higher --learning-rate or --solver lbfgs"
    return (
        f"the loss of the validation rows still fell in the last epoch, from {before:.4f} to {last:.4f}: "
        f"{ways} may learn more"
    )
