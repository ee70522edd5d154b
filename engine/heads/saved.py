"""The folder that a head is kept in: head.json, its weights, its metrics and its history."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError

from ...store import FeatureSpec, HeadError, LabelError
from ...store.files import replaced_folder, require_replaceable
from ...store.nearest import did_you_mean_path
from ..pairs.saved import combination_from, split_tables, tables_of
from ..words.files import load_words, require_no_words, save_words
from .labels import Labels
from .own_code import OwnCode
from .tasks import SINGLE_LABEL, TASKS
from .weight_files import read_weights, write_weights

if TYPE_CHECKING:
    from .head import Head

FORMAT = 3
"""Of head.json, for heads with words, and for those over texts of pairs that are encoded apart. Others are 2,
which older releases read. 1, which is still read, knew the linear head and single labels alone."""
_PLAIN_FORMAT = 2


def write_head(head: "Head", folder: Path, tables: Mapping[str, pa.Table]) -> Path:
    """Write a head's folder, and ``tables`` by name into it; see :meth:`engine.heads.head.Head.save`."""
    require_replaceable(folder, "head.json", HeadError, "a head")
    description = {
        "format": FORMAT if head.combination or head.words else _PLAIN_FORMAT,
        "task": head.task.name,
        "kind": head.kind,
        "arguments": head.arguments,
        "members": head.members,
        **({"code": dict(head.code.hashes)} if head.code.hashes else {}),
        "labels": list(head.labels.values),
        "features": {"name": head.feature_set, "spec": json.loads(head.spec.to_json())},
        "text_column": head.text_column,
        "pair_column": head.pair_column,
        **({"combination": head.combination.to_json()} if head.combination else {}),
        "metrics": head.metrics,
        "record": {
            **head.record,
            "versions": {p: version(p) for p in ("enc-features", "torch", "transformers")},
        },
    }
    with replaced_folder(folder) as part:
        if head.words:
            description["words"] = save_words(head.words, part)
        arrays = {**head.weights, **tables_of(head.combination)}
        write_weights(part / "head.safetensors", arrays)
        (part / "head.json").write_text(
            json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (part / "metrics.json").write_text(json.dumps(head.metrics, indent=2) + "\n", encoding="utf-8")
        for name, table in {"history": pa.Table.from_pylist(head.history), **tables}.items():
            pq.write_table(table, part / f"{name}.parquet")
    return folder


def read_fields(folder: Path, *, allow_code: bool) -> dict[str, Any]:
    """The fields of the Head in a folder. Called within :func:`damage_told`.

    ``allow_code`` says whether the class of a ``module:Class`` head may be imported.
    """
    try:
        text = (folder / "head.json").read_text(encoding="utf-8")
    except OSError as error:
        if folder.is_file():
            raise HeadError(
                f"'{folder}' is a file, and a head is a folder, which `enc train-head` makes"
            ) from error
        near = did_you_mean_path(folder)
        raise HeadError(
            f"no head in '{folder}'; `enc train-head … --output {folder}` makes one{near}"
        ) from error
    saved = json.loads(text)
    if saved["format"] not in range(1, FORMAT + 1):
        raise HeadError(
            f"the head in '{folder}' was made by a newer enc ({saved['kind']}); upgrade enc-features"
        )
    spec = FeatureSpec.from_json(json.dumps(saved["features"]["spec"]))
    labels = Labels(tuple(saved["labels"]))
    words = load_words(folder, saved["words"], len(labels) or 1) if "words" in saved else None
    if words is None:
        require_no_words(folder)
    if saved["format"] == FORMAT and words is None and "combination" not in saved:
        raise ValueError(f"it is of format {FORMAT}, and names neither words nor a combination")
    weights, tables = split_tables(read_weights(folder / "head.safetensors"))
    return {
        "kind": saved["kind"],
        "labels": labels,
        "spec": spec,
        "weights": weights,
        "feature_set": saved["features"]["name"],
        "text_column": saved["text_column"],
        "pair_column": saved["pair_column"],
        "combination": combination_from(saved.get("combination"), tables, spec),
        "task": SINGLE_LABEL if saved["format"] == 1 else TASKS[saved["task"]],
        "arguments": saved.get("arguments", {}),
        "members": saved.get("members", 1),
        "words": words,
        "metrics": saved["metrics"],
        "history": read_history(folder, saved),
        "record": saved["record"],
        "code": OwnCode(allow_code, saved.get("code", {}), folder),
    }


def read_history(folder: Path, saved: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row an epoch or step: from head.json where that has it, as on the hub, else from its own file."""
    if "history" in saved:
        return [dict(row) for row in saved["history"]]
    return pq.ParquetFile(folder / "history.parquet").read().to_pylist()


@contextmanager
def damage_told(folder: Path) -> Iterator[None]:
    """During a block, what the parts of a damaged head raise is a HeadError that names its folder."""
    try:
        yield
    except (
        KeyError,
        TypeError,
        ValueError,
        LabelError,
        OSError,
        RuntimeError,
        SafetensorError,
        pa.ArrowException,
    ) as error:
        raise HeadError(
            f"the head in '{folder}' is damaged: {type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error
