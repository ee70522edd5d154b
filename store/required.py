"""What is told where features are missing that a command cannot do without."""

from bisect import bisect_right
from collections.abc import Sequence

from .errors import MissingFeatures
from .lookup import Lookup
from .sides import SIDES
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
    if table.spec.imported:
        stage, lookup = next((stage, lookup) for stage, lookup in found if lookup.missing)
        raise MissingFeatures(
            f"{texts} no vectors in feature set '{table.name}' ({first_missing(stage, lookup)}), which "
            f"'{table.spec.imported}' made outside enc; make theirs there, and add them with `enc "
            f"import-features … --store {table.path.parent} --features {table.name}`"
        )
    raise MissingFeatures(
        f"{texts} no features yet; run "
        f"`enc build-features {files} --text-column {sources[0].text_column}{pair} "
        f"--store {table.path.parent} --name {table.name}`, or add --build"
    )


def first_missing(stage: Stage, lookup: Lookup) -> str:
    """Where the first text stands that has no features: ``the first is in row 3 of reviews.tsv``."""
    sides = 2 if stage.source.is_separate else 1
    number = int(lookup.is_first_missing.argmax()) // sides
    first_ids = (
        [first // sides for first in stage.first_ids] if stage.name.endswith(SIDES) else stage.first_ids
    )
    file = bisect_right(first_ids, number) - 1
    name = stage.name.removesuffix(SIDES)
    title = stage.con.sql(f"SELECT name FROM {name}_files WHERE id = {file}").fetchall()[0][0]
    # A row's own number counts lines that do not parse; without the row there are none.
    rows = stage.con.sql(f"SELECT row FROM {name} WHERE id = {number}").fetchall()
    row = rows[0][0] if rows else number - first_ids[file] + 1
    return f"the first is in row {row:,} of {title}"
