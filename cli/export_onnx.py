"""`enc export-onnx`"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from .command import EncCommand
from .options import code_option, json_option, setting_options, verify_option
from .values import allows_code, setting_values
from .voice import note


@click.command("export-onnx", cls=EncCommand, short_help="Write an encoder, or a head with it, as ONNX.")
@click.argument("names", nargs=-1, metavar="[MODEL] OUTPUT")
@click.option(
    "--head",
    "head_folder",
    type=click.Path(),
    metavar="DIR",
    help="Export this head with its encoder, in place of MODEL.",
)
@click.option(
    "--without-words", is_flag=True, help="Of a head with words, export the network alone, without them."
)
@setting_options
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="fp16 is for GPUs; int8 for CPUs, less exact.",
)
@click.option(
    "--target",
    type=click.Choice(["any", "cpu", "cuda"]),
    help="Fuse operators for ONNX Runtime there; any: plain ONNX, for other runtimes too.  "
    "[default: any; cuda for fp16]",
)
@verify_option
@code_option
@json_option
def command(
    names: tuple[str, ...],
    head_folder: str | None,
    without_words: bool,
    precision: str,
    target: str | None,
    verify_model: bool,
    allow_code: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Write MODEL as one ONNX graph: token ids in, pooled features out; checked against torch.

    With --head, probabilities come out, in the order of the labels in the file's metadata, or a
    regression's predictions. The file runs in plain onnxruntime; for
    --target cuda, texts of a batch must be padded on the right.

    With --head and an OUTPUT that does not end in .onnx, a folder is written that stands alone: model.onnx,
    tokenizer.json, config.json with id2label, and example.py, which needs onnxruntime, tokenizers and numpy.
    """
    from ..store import ModelError

    if len(names) != (1 if head_folder else 2):
        raise ModelError("give a MODEL and the OUTPUT, or --head DIR and the OUTPUT")
    if not head_folder and Path(names[0], "head.json").is_file():
        raise ModelError(f"'{names[0]}' is a head; pass it as --head {names[0]}")
    from ..engine.classifier import load_classifier
    from ..engine.encode.checkpoint import checkpoint_of
    from ..engine.export import export_onnx

    model, output = names[0], names[-1]
    head = None
    if head_folder:
        code = allows_code(is_allowed=allow_code)
        head = load_classifier(head_folder, verify_model=verify_model, allow_code=code)
    if head is not None:
        head = head.replace(words=None) if without_words else head
        spec = head.spec
        checkpoint = checkpoint_of(spec.model, verify_model=verify_model, **spec.setting)
        if checkpoint.spec.weights != spec.weights:
            raise ModelError(
                f"model '{spec.model}' is not the one the head was trained with; its weights have changed"
            )
    else:
        checkpoint = checkpoint_of(model, verify_model=verify_model, say=note, **setting_values(values))
    target = target or ("cuda" if precision == "fp16" else "any")
    if head is not None and not output.endswith(".onnx"):
        from ..engine.standalone import export_folder

        export = export_folder(checkpoint, output, head, precision=precision, target=target)
        size = sum(file.stat().st_size for file in Path(output).iterdir())
    else:
        export = export_onnx(checkpoint, output, head=head, precision=precision, target=target)
        size = Path(output).stat().st_size
    if as_json:
        click.echo(json.dumps({"output": output, "bytes": size} | dataclasses.asdict(export)))
        return
    click.echo(f"written: {output}, {size / 1e6:.1f} MB, {precision}")
    if Path(output).is_dir():
        click.echo(
            f"try it: python {Path(output) / 'example.py'}, with onnxruntime, tokenizers and numpy alone"
        )
    click.echo(
        f"differs from torch by {export.difference:.1e} at the most (fp32 there); mean cosine "
        f"{export.cosine:.5f}"
    )
    if target != "any":
        fusions = ", ".join(f"{count} {name}" for name, count in export.fused.items())
        click.echo(
            f"fused for ONNX Runtime on {target}: "
            f"{fusions or 'nothing was found to fuse; these are plain operators'}"
        )
