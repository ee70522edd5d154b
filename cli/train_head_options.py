"""The options of `enc train-head` on the head, and on how it is trained and chosen."""

import click

from .grouped_help import options
from .options import code_option

training_options = options(
    options(
        click.option(
            "--head",
            default="linear",
            show_default=True,
            metavar="KIND",
            help="linear, mlp; over token features also cnn, lstm, attention; encoder, the model's own upper "
            "layers over token features of a lower one; or module:Class, a torch.nn.Module of yours.",
        ),
        click.option(
            "--head-args",
            multiple=True,
            metavar="ARGS",
            help="The head's arguments: hidden=256,dropout=0.2 or a JSON object.",
        ),
        click.option(
            "--head-init",
            type=click.Path(file_okay=False),
            metavar="HEAD",
            help="Of encoder: a linear head on pooled features of the layer that it ends with, which its "
            "classifier begins as.  [default: one is fitted first]",
        ),
        code_option,
        heading="Head",
    ),
    options(
        click.option(
            "--recipe",
            type=click.Choice(["flat32"]),
            help="Defaults with a name; what is given beside it goes first.",
        ),
        click.option(
            "--optimizer",
            type=click.Choice(["adamw", "sgd"]),
            default="adamw",
            show_default=True,
            help="SGD has momentum.",
        ),
        click.option(
            "--solver",
            type=click.Choice(["gradient", "lbfgs"]),
            default="gradient",
            show_default=True,
            help="lbfgs solves for a linear head to convergence, for each --l2; it has no epochs and the "
            "like.",
        ),
        click.option(
            "--l2",
            metavar="LIST",
            help="For lbfgs: strengths of regularisation to try, such as 1,0.1,0.01.  "
            "[default: 11 from 10 to 1e-4]",
        ),
        click.option(
            "--epochs",
            type=int,
            default=10,
            help="Passes over the training rows.  [default: 10; of encoder 3]",
        ),
        click.option("--batch-size", type=int, default=64, help="Rows a step.  [default: 64; of encoder 16]"),
        click.option(
            "--learning-rate",
            type=float,
            default=1e-3,
            help="Step size.  [default: 0.001; of encoder 0.0001]",
        ),
        click.option(
            "--schedule",
            type=click.Choice(["constant", "linear", "cosine"]),
            default="constant",
            help="How the step size goes on after the warmup: it stays, or falls to 0.  "
            "[default: constant; of encoder linear]",
        ),
        click.option(
            "--warmup",
            type=float,
            default=0.0,
            help="Share of the steps in which the step size rises from 0.  [default: 0; of encoder 0.1]",
        ),
        click.option(
            "--weight-decay",
            type=float,
            default=1e-2,
            show_default=True,
            help="Pull of the weights towards zero.",
        ),
        click.option("--momentum", type=float, default=0.9, show_default=True, help="Of SGD."),
        click.option(
            "--standardize/--no-standardize",
            default=True,
            show_default=True,
            help="Scale features by the training rows.",
        ),
        click.option(
            "--class-weights",
            multiple=True,
            metavar="WEIGHTS",
            help="balanced, or label=weight,label=weight.  [default: all the same]",
        ),
        click.option(
            "--label-smoothing",
            type=float,
            default=0.0,
            show_default=True,
            help="Share of a target spread over all classes.",
        ),
        click.option(
            "--metric",
            metavar="NAME",
            help="Keep the epoch best by this: loss, f1, mcc, auc, spearman, ….  [default: keep the last]",
        ),
        click.option(
            "--early-stopping",
            type=int,
            metavar="EPOCHS",
            help="Stop after so many epochs without a better one; keep the best.",
        ),
        click.option(
            "--batches",
            type=click.Choice(["ram", "mapped", "streamed"]),
            help="Where features wait.  [default: by size]",
        ),
        click.option(
            "--seed",
            type=int,
            default=42,
            show_default=True,
            help="Of initial weights, order and --valid-fraction.",
        ),
        heading="Training",
    ),
    options(
        click.option(
            "--sweep",
            multiple=True,
            metavar="NAME=V,V",
            help="Train all combinations: lr=1e-3,3e-3; use=layers=12,layers=9-12; of pairs combine=cosines,"
            "cosines+words.  With lbfgs: use and combine alone.",
        ),
        click.option(
            "--seeds",
            type=int,
            default=1,
            show_default=True,
            help="Train each with so many seeds, from --seed up.",
        ),
        click.option(
            "--folds",
            type=int,
            metavar="K",
            help="Judge each by cross-validation, in place of --valid.",
        ),
        click.option("--ensemble", is_flag=True, help="Keep all seeds of the best setting, as one head."),
        heading="Many heads, compared",
    ),
)
