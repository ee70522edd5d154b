"""Names of what lies on the hub: ``hf://OWNER/REPO``, and ``hf://OWNER/REPO@REVISION``."""

import re
from dataclasses import dataclass
from pathlib import Path

from ...store import HubError

_SCHEME = re.compile(r"hf:/{1,2}")  # pathlib makes one slash of two
_PART = re.compile(r"(?!.*(\.\.|--))[A-Za-z0-9_](?:[\w.-]{0,94}\w)?", re.ASCII)
_REVISION = re.compile(r"[\w./+-]{1,250}")


@dataclass(frozen=True)
class HubName:
    """A repository of the hub, and a branch, tag or commit of it."""

    repo: str
    """``OWNER/REPO``"""
    revision: str | None = None
    """None for ``main``."""

    @classmethod
    def of(cls, name: str | Path) -> "HubName | None":
        """The repository that a name which begins with ``hf://`` means; None for any other name.

        Raises HubError for one that can be no repository.
        """
        scheme = _SCHEME.match(str(name))
        return None if scheme is None else cls.parse(str(name)[scheme.end() :])

    @classmethod
    def parse(cls, name: str) -> "HubName":
        """The repository that ``OWNER/REPO``, with or without ``@REVISION``, means. Raises HubError."""
        repo, at, revision = name.removeprefix("hf://").partition("@")
        parts = repo.split("/")
        is_repo = len(parts) == 2 and all(map(_PART.fullmatch, parts))
        if not is_repo or (at and not _REVISION.fullmatch(revision)):
            raise HubError(
                f"'{name}' names no repository of the hub; write OWNER/REPO, or OWNER/REPO@REVISION "
                "with a branch, tag or commit"
            )
        return cls(repo, revision or None)

    @property
    def name(self) -> str:
        """The repository without its owner."""
        return self.repo.rpartition("/")[2]

    def at(self, commit: str) -> "HubName":
        """The same repository at a commit."""
        return HubName(self.repo, commit)

    def __str__(self) -> str:
        return f"hf://{self.repo}{'@' + self.revision if self.revision else ''}"
