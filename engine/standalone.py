"""A head and its encoder as a folder that needs no enc: graph, tokenizer, configuration, and an example."""

import json
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from ..store import FeatureSpec, HeadError, ModelError
from ..store.files import replaced_folder
from .backends.graph_cache import INPUTS, PROBES
from .backends.onnx_file import Export
from .encode.asked import AskedSetting
from .encode.checkpoint import Checkpoint, checkpoint_of
from .encode.tokens import Tokenizer
from .export import export_onnx
from .heads.head import Head

GRAPH, TOKENIZER, CONFIGURATION, EXAMPLE = "model.onnx", "tokenizer.json", "config.json", "example.py"
_MADE_BY = "enc_export"
_FORMAT = 1
_TEXTS = (*PROBES, " ".join(PROBES) * 8, "", "[SEP] [MASK] <s> </s>", "ＡＢＣ １２３ ﬁ é Straße 🙂 \t İ")
"""Texts whose tokens are compared: short and long ones, with special tokens in them, and of many scripts."""
_EXAMPLE = '''\
"""Needs onnxruntime, tokenizers and numpy alone: python example.py {usage} …"""
import json, pathlib, sys
import numpy, onnxruntime, tokenizers

folder = pathlib.Path(__file__).parent
config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))  # it cuts and pads, too
session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
given = {given}
encoded = tokenizer.encode_batch({texts})
arrays = {{"input_ids": [one.ids for one in encoded], "token_type_ids": [one.type_ids for one in encoded]}}
arrays["attention_mask"] = {mask}
inputs = {{one.name: numpy.array(arrays[one.name], numpy.int64) for one in session.get_inputs()}}
for answer in session.run(None, inputs)[0].tolist():
    print({shown})
'''


def export_folder(
    model: Checkpoint | str | Path,
    folder: str | Path,
    head: Head,
    *,
    precision: str = "fp32",
    target: str = "any",
    **setting: Unpack[AskedSetting],
) -> Export:
    """Write a folder with which a head is used where neither enc nor torch is.

    It holds ``model.onnx``, the encoder and the head; ``tokenizer.json``, which cuts and pads as the setting
    says; ``config.json`` with ``task``, ``id2label`` and ``label2id``, and what is done to texts before
    the tokenizer; and ``example.py``, which runs with onnxruntime, tokenizers and NumPy. The arguments are
    those of :func:`engine.export.export_onnx`. The folder is written whole or not at all, and replaces an
    earlier one. Raises as ``export_onnx`` does, HeadError for texts that are encoded in windows and for a
    folder that holds anything else, and ModelError where tokenizer.json would give other tokens than enc.
    """
    folder = Path(folder)
    _require_own(folder)
    if head.spec.long_text == "windows":
        raise HeadError(
            "the head's texts are encoded in windows, whose features are put together outside of a graph; "
            "train a head on features with --long-text truncate, or score with `enc score`"
        )
    if isinstance(model, Checkpoint):
        checkpoint = model
    else:
        checkpoint = checkpoint_of(model, **(setting or AskedSetting(**head.spec.setting)))
    with replaced_folder(folder) as part:
        export = export_onnx(checkpoint, part / GRAPH, head=head, precision=precision, target=target)
        _write_tokenizer(checkpoint.tokenizer, head, part / TOKENIZER)
        description = json.dumps(_configuration(head, export), indent=2, ensure_ascii=False)
        (part / CONFIGURATION).write_text(description + "\n", encoding="utf-8")
        (part / EXAMPLE).write_text(_example(head), encoding="utf-8")
    return export


def _require_own(folder: Path) -> None:
    """Raise HeadError where a folder is there that is neither empty nor an earlier export."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    names = {GRAPH, TOKENIZER, CONFIGURATION, EXAMPLE}
    try:
        is_own = {path.name for path in folder.iterdir()} <= names
        is_own &= _MADE_BY in json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        is_own = False
    if not is_own:
        raise HeadError(
            f"'{folder}' is there, and is not a folder that export-onnx wrote; name another folder, or a "
            "file that ends in .onnx"
        )


def _configuration(head: Head, export: Export) -> dict[str, Any]:
    """What a caller needs beside the graph and the tokenizer."""
    from importlib.metadata import version

    spec, names = head.spec, [str(value) for value in head.labels.values]
    labels = {
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
    }
    return {
        _MADE_BY: _FORMAT,
        "task": head.task.name,
        **(labels if head.task.has_classes else {}),
        "output": "probabilities" if head.task.has_classes else "predictions",
        "is_pair": head.pair_column is not None,
        "prefix": spec.prefix,
        "first_characters": spec.first_characters,
        "max_length": spec.max_length,
        "attention_mask": spec.attention_mask,
        "pooling": list(spec.pooling),
        "head": head.kind,
        "precision": export.precision,
        "target": export.target,
        "versions": {"enc-features": version("enc-features")},
    }


def _write_tokenizer(tokenizer: Tokenizer, head: Head, path: Path) -> None:
    """Write a tokenizer that cuts and pads by itself. Raises ModelError unless its tokens are enc's."""
    import tokenizers

    spec, padding = head.spec, tokenizer.padding
    alone = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    side = "left" if padding.left else "right"
    if not spec.special_tokens:
        alone.post_processor = tokenizers.processors.Sequence([])
    alone.enable_truncation(spec.max_length, strategy="longest_first", direction=side)
    alone.enable_padding(
        direction=side,
        pad_id=padding.pad_id,
        pad_token=alone.id_to_token(padding.pad_id) or "[PAD]",
        length=padding.to or None,
    )
    alone.save(str(path))
    alone = tokenizers.Tokenizer.from_file(str(path))
    seconds = _TEXTS[::-1] if head.pair_column is not None else None
    tokens = tokenizer(_TEXTS, seconds)
    expected = tokens.batch(np.arange(len(_TEXTS)))
    firsts = prepared(spec, _TEXTS)
    kept = spec.first_characters or None
    texts = firsts if seconds is None else list(zip(firsts, [one[:kept] for one in seconds], strict=True))
    encoded = alone.encode_batch(texts)
    found = [[one.ids, one.attention_mask, one.type_ids] for one in encoded]
    wanted = [getattr(expected, name) for name in INPUTS]
    for number, values in enumerate(wanted):
        is_mask = INPUTS[number] == "attention_mask"
        if is_mask and not spec.attention_mask:
            continue  # all ones, whatever the tokenizer says
        if [row[number] for row in found] != values.tolist():
            raise ModelError(
                f"tokenizer.json would not give the {INPUTS[number]} that enc gives for model "
                f"'{spec.model}'; export a file that ends in .onnx, and tokenize as its metadata say"
            )


def prepared(spec: FeatureSpec, texts: tuple[str, ...]) -> list[str]:
    """Texts as the tokenizer takes them: cut by characters, with their prefix."""
    return [spec.prefix + text[: spec.first_characters or None] for text in texts]


def _example(head: Head) -> str:
    spec = head.spec
    cut = '[: config["first_characters"]]' if spec.first_characters else ""
    first = ('config["prefix"] + ' if spec.prefix else "") + f"{{}}{cut}"
    one = first.format("text")
    texts = "given" if one == "text" else f"[{one} for text in given]"
    given, usage = 'sys.argv[1:] or ["A text."]', '"A text."'
    if head.pair_column is not None:
        usage = '"A text." "Another one."'
        given = 'list(zip(sys.argv[1::2], sys.argv[2::2])) or [("A text.", "Another one.")]'
        one = f"({first.format('a')}, b{cut})"
        texts = "given" if one == "(a, b)" else f"[{one} for a, b in given]"
    mask = f"[{'one.attention_mask' if spec.attention_mask else '[1] * len(one.ids)'} for one in encoded]"
    shown = (
        'json.dumps(dict(zip(config["label2id"], answer)), ensure_ascii=False)'
        if head.task.has_classes
        else "answer"
    )
    return _EXAMPLE.format(usage=usage, given=given, texts=texts, mask=mask, shown=shown)
