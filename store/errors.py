"""Every exception that enc raises on purpose, so that callers need to know one module.

    EncError                 anything a user can mend; the message is one line and names the way out
    ├── SourceError          a file, column, format, filter or query that cannot be read as asked
    ├── StoreError           a folder that is no store, or a feature set that is not there
    │   ├── DamagedLog       a feature set whose log is missing, or cannot be read
    │   ├── DamagedShard     a shard that is missing, or is not what was written
    │   ├── PlaceError       an object store that cannot be reached, or a URL that is none
    │   ├── SpecError        a feature setting that makes no sense, or differs from the one at hand
    │   └── MissingFeatures  rows whose texts were never encoded
    ├── WorkspaceError       the memory or the temporary files of a run do not fit where they should
    ├── HubError             a repository of the hub that cannot be read or written
    ├── ModelError           an encoder that cannot be loaded or gave unusable numbers
    ├── ReportError          a report that cannot be made of what is there
    └── HeadError            a head that cannot be trained, read or applied
        ├── LabelError       a label that the head or the task does not know
        └── DivergedError    training whose loss became no number

Exceptions of DuckDB, Delta, Arrow and transformers are translated into these where they cross
into enc, with ``from``, so that ``--debug`` still shows where they began.
"""

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class EncError(Exception):
    """Base of all errors that a user can mend; its message is one line, whatever a file calls its columns."""

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str) -> str:
    """A text whose line ends and other control characters are written as escapes."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class SourceError(EncError):
    """A source of texts or labels that cannot be read as asked."""


class StoreError(EncError):
    """A folder that is no store, or a feature set that is not in it."""


class DamagedLog(StoreError):
    """A feature set whose log is missing, or cannot be read."""


class DamagedShard(StoreError):
    """A shard that is missing, or is not what was written: the ``problem`` is a verb and its object."""

    def __init__(self, path: str, problem: str):
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        from .places import place_of, shown  # which import this module

        path = shown(self.path)
        store = place_of(path).parent.parent
        return one_line(
            f"shard {path} {self.problem}; run `enc store verify '{store}' --repair`, "
            "and then enc build-features again"
        )


class PlaceError(StoreError):
    """An object store that cannot be reached, or a URL that names no place."""


class SpecError(StoreError):
    """A feature setting that is impossible, or not the one that is needed."""


class MissingFeatures(StoreError):
    """Rows of a source have no features yet."""


class WorkspaceError(EncError):
    """Memory or temporary files that a run needs cannot be had."""


class NotMapped(WorkspaceError):
    """Features cannot be mapped into memory, but can be read."""


class WorkerError(EncError):
    """A worker that does a share of a build cannot be had, or has failed."""


class ModelError(EncError):
    """An encoder that cannot be loaded, or whose output cannot be used."""


class HubError(EncError):
    """A repository of the hub that cannot be read or written, or holds something else."""


class ReportError(EncError):
    """A report that cannot be made: of a folder that is no run, of damaged files, or without what draws."""


class HeadError(EncError):
    """A head that cannot be trained, read or applied."""


class LabelError(HeadError):
    """A label outside those that are known."""


class DivergedError(HeadError):
    """Training whose loss became no number."""
