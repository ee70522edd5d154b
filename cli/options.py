"""Options that several commands have."""

from collections.abc import Callable
from typing import Any

import click

from .grouped_help import options

Function = Callable[..., Any]


text_options = options(
    click.option("--text-column", metavar="NAME", help="Column of the text.  [default: sentence or text]"),
    click.option("--pair-column", metavar="NAME", help="Column of the second text of a pair."),
    heading="Rows",
)
pairs_option = options(
    click.option(
        "--pairs",
        type=click.Choice(["joint", "separate"]),
        default="joint",
        show_default=True,
        help="Encode both texts of a pair as one, or each by itself, once in however many pairs it is.",
    ),
    heading="Rows",
)
file_options = options(
    click.option(
        "--format",
        type=click.Choice(["tsv", "csv", "jsonl", "parquet"]),
        help="Format of the files.  [default: by ending]",
    ),
    click.option(
        "--no-header",
        "has_header",
        flag_value=False,
        default=True,
        help="The first line of TSV and CSV files is a row; columns are column0, column1, …",
    ),
    heading="Rows",
)
source_options = options(
    text_options,
    click.option(
        "--query",
        metavar="SQL",
        help="A SELECT that gives the rows; SOURCE… are then the files that it reads.",
    ),
    click.option("--where", metavar="SQL", help="Use only the rows for which this condition holds."),
    click.option(
        "--allow-path",
        "allowed_paths",
        multiple=True,
        metavar="PATH",
        help="A file or folder that --query and --where can read besides SOURCE….",
    ),
    file_options,
    heading="Rows",
)
encoding_options = options(
    click.option(
        "--recipe",
        type=click.Choice(["flat32"]),
        help="A setting with a name; what is given beside it goes first.",
    ),
    click.option(
        "--pooling",
        metavar="LIST",
        help="mean, cls, max, mean_sqrt_len_tokens, weightedmean, lasttoken, several of them, or tokens; or "
        "model: what the model's makers do, layers after it included.  [default: model; mean if unknown]",
    ),
    click.option(
        "--normalize",
        is_flag=True,
        default=None,
        help="Scale vectors to length 1.  [default: as the model's recipe says; not with a --pooling]",
    ),
    click.option(
        "--layers",
        metavar="LIST",
        help="Layers from 1, such as 6, 3,6 or 9-12; last; all; 0 is the embeddings.  [default: last]",
    ),
    click.option(
        "--max-length",
        type=int,
        help="Tokens kept of a text, special tokens included.  [default: the model's, up to 128]",
    ),
    click.option(
        "--prompt",
        metavar="NAME",
        help="Put the model's prompt of this name before every text.  [default: the model's default prompt]",
    ),
    click.option("--prefix", metavar="TEXT", help="Put before every text, such as 'query: ' for E5 models."),
    click.option(
        "--long-text",
        type=click.Choice(["truncate", "windows"]),
        help="Cut texts at max-length, or encode all of them in windows of that length and pool these.  "
        "[default: truncate]",
    ),
    click.option(
        "--stride", type=click.IntRange(0), help="Tokens that neighbouring windows share.  [default: 0]"
    ),
    heading="How texts are encoded",
)
setting_options = options(
    encoding_options,
    click.option(
        "--dtype",
        type=click.Choice(["float16", "float32"]),
        help="How features are stored.  [default: float16]",
    ),
    heading="How texts are encoded",
)
store_option = click.option(
    "--store", required=True, type=click.Path(), metavar="DIR", help="Folder of the feature sets."
)
any_store_option = click.option(
    "--store",
    type=click.Path(),
    metavar="DIR",
    help="Folder of the feature sets; without it, nothing is kept.",
)
device_option = click.option(
    "--device", metavar="NAME", help="Where to encode: cpu, cuda, cuda:1.  [default: cuda if there is one]"
)
verify_option = click.option(
    "--verify-model",
    is_flag=True,
    help="Read all of the model's files again, rather than trust their sizes and times.",
)
backend_options = options(
    click.option(
        "--backend",
        type=click.Choice(["auto", "torch", "openvino", "onnx", "tensorrt"]),
        default="auto",
        show_default=True,
        help="What encodes; auto measures on the texts at hand.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["fp32", "bf16", "fp16", "int8"]),
        help="Of the encoder's matrix products; int8 is for models that `enc calibrate` quantized.  "
        "[default: by backend]",
    ),
    device_option,
    verify_option,
    heading="What encodes",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as one JSON object; all else goes to stderr."
)
code_option = click.option(
    "--allow-code",
    is_flag=True,
    help="Import the class of a head that is module:Class, from where you are or PYTHONPATH; its code runs.",
)
classifier_options = options(
    click.option("--head", type=click.Path(), metavar="DIR", help="A head made by train-head."),
    click.option(
        "--model",
        metavar="DIR",
        help="A head, or a fine-tuned model; beside --head, the head's encoder, if its folder has moved.",
    ),
    code_option,
)
classifiers_options = options(
    click.option(
        "--head",
        "heads",
        multiple=True,
        metavar="DIR",
        help="A head made by train-head, or NAME=DIR; several score in one pass, with columns named "
        "NAME_prediction and so on.",
    ),
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="DIR",
        help="A head, or a fine-tuned model; beside --head, the head's encoder, if its folder has moved.",
    ),
    code_option,
)
threshold_option = click.option(
    "--threshold",
    multiple=True,
    metavar="P",
    help="Predict only labels with a probability above P; or label=P,label=P, of which each is predicted "
    "where it is above its own.",
)


def label_option(help: str) -> Function:
    """The option of the columns of the label."""
    option = click.option("--label-column", "label_columns", multiple=True, metavar="NAME", help=help)
    return options(option, heading="Rows")


labels_option = options(
    click.option(
        "--label-column",
        "label_columns",
        multiple=True,
        default=["label"],
        show_default=True,
        metavar="NAME",
        help="Column of the label; given several times, 0/1 columns of one label each.",
    ),
    heading="Rows",
)


report_option = click.option(
    "--report/--no-report",
    "has_report",
    default=True,
    show_default=True,
    envvar="ENC_REPORT",
    help="Write report.html beside the result; ENC_REPORT=0 in the environment leaves it out.",
)
