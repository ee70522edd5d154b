"""What is told where features are missing that a command cannot do without."""

from collections.abc import Sequence

from .errors import MissingFeatures
from .lookup import Lookup
from .stage import Stage
from .table import FeatureTable


def require_features(table: FeatureTable, found: Sequence[tuple[Stage, Lookup]]) -> None:
    """Raise MissingFeatures, with the command that mends it, if a staged text is not in the table."""
    absent, sources = 0, []
    for stage, lookup in {stage.source: (stage, lookup) for stage, lookup in found}.values():
        if lookup.missing:
            absent += lookup.missing
            sources.append(stage)
    if not absent:
        return
    files = " ".join(stage.source.arguments for stage in sources)
    pair = f" --pair-column {sources[0].pair_column}" if sources[0].pair_column else ""
    if sources[0].source.is_separate:
        pair += " --pairs separate"
    titles = " and ".join(stage.source.title for stage in sources)
    texts = f"{absent:,} texts of {titles} have"
    if absent == 1:
        texts = f"1 text of {titles} has"
    raise MissingFeatures(
        f"{texts} no features yet; run "
        f"`enc build-features {files} --text-column {sources[0].text_column}{pair} "
        f"--store {table.path.parent} --name {table.name}`, or add --build"
    )
