"""What `enc store` prints."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .text import count_text, size_text, table_text

if TYPE_CHECKING:
    from ..store import FeatureTable
    from ..store.compare import Comparison
    from ..store.delete import DeleteSummary
    from ..store.vacuum import VacuumSummary
    from ..store.verify import VerifySummary
    from ..store.work import LeftWork


def list_text(tables: "Sequence[FeatureTable]") -> str:
    """Feature sets, a line each."""
    titles = ("name", "rows", "size", "version", "shape", "dtype", "model")
    rows = [
        (
            table.name,
            f"{table.rows:,}",
            size_text(table.bytes),
            str(table.version),
            " x ".join(map(str, table.spec.shape)),
            table.spec.dtype,
            table.spec.model,
        )
        for table in tables
    ]
    return table_text(titles, rows, right=("rows", "size", "version"))


def verified_text(found: "VerifySummary") -> str:
    """The state of a feature set."""
    state = "damaged" if found.damaged else "not all of it can be read" if found.unreadable else "sound"
    if found.saved is not None:
        state = f"repaired: {found.saved:,} rows of damaged shards kept, {found.lost or 0:,} dropped"
    if found.doubles:
        state += f"; {found.doubles:,} doubles, which `enc store compact` removes"
    if found.unchecked:
        state += f"; {found.unchecked} shards have no checksums, and `enc store compact` adds them"
    shards = count_text(found.shards, "shard")
    return f"{found.feature_set}: {found.rows:,} rows in {shards}, version {found.version}: {state}"


def vacuumed_text(done: "VacuumSummary", *, dry_run: bool) -> str:
    """What was removed, or would be."""
    verb = "would be removed" if dry_run else "removed"
    line = f"{done.feature_set}: {len(done.removed)} files, {size_text(done.bytes)}, {verb}"
    if done.retained:
        line += f"; {done.retained} of old versions kept"
    if done.held:
        line += f", because running processes read version {', '.join(map(str, done.held))}"
    return line


def left_work_text(left: "LeftWork", *, dry_run: bool) -> str:
    """What was removed of a build that nobody finished, or would be."""
    verb = "would be removed" if dry_run else "removed"
    return f"{left.folder}: {count_text(left.files, 'file')} of a first pass, {size_text(left.bytes)}, {verb}"


def deleted_text(store: str, done: "DeleteSummary") -> str:
    """What was deleted, and where it still stands."""
    line = (
        f"{done.feature_set}: {done.deleted:,} rows deleted for {done.asked:,} distinct texts, "
        f"{done.unknown:,} of them unknown, version {done.version}"
    )
    if not done.files:
        return f"{line}; no older version has them"
    runs = [str(first) if first == last else f"{first} to {last}" for first, last in done.still_in]
    where = f"version {', '.join(runs)}" if runs else "no version"
    files = count_text(len(done.files), "file")
    return (
        f"{line}\n  they still stand on the disk, in {files} of {where}; "
        f"`enc store vacuum '{store}' --retain 0` removes them"
    )


def compared_text(found: "Comparison") -> str:
    """Cosines of two feature sets."""
    lines = [
        f"{found.rows:,} texts in both; {found.only_first:,} only in {found.first}, "
        f"{found.only_second:,} only in {found.second}",
        f"  cosine: mean {found.mean:.6f}",
        *(
            f"  {percent:>3}% of the texts at most {cosine:.6f}"
            for percent, cosine in found.percentiles.items()
        ),
        f"  largest difference of two values: {found.max_difference:.6g}",
    ]
    return "\n".join(lines)
