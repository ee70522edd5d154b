"""Places: folders of this machine by pathlib, and object stores (``s3://``, ``gs://``, ``az://``) by obstore.

Nothing outside this room asks whether a place is local. What lies in an object store has a local name all the
same: a file in a cache, which holds as much of it as was asked for (:mod:`.cache`).
"""

from .cache import (
    bring,
    fetched,
    folder_of,
    forget,
    keep,
    origin_of,
    outgoing,
    publish,
    readable,
    reading_threads,
    root,
    shown,
    withdraw,
)
from .client import retried
from .copies import (
    fetched_file,
    folder_to_write,
    is_url,
    listed_files,
    local_file,
    local_folder,
    put_folder,
    require_puts,
)
from .leases import leased, remove_unleased
from .place import (
    Place,
    commit_options,
    descriptor,
    free_bytes,
    has_locks,
    mark_of,
    marks_in,
    opened,
    place_of,
    remove_empty,
    remove_folder,
    require_safe_commits,
    sizes_in,
    table_uri,
)
from .remote import RemotePath
from .room import CacheFull, hold

__all__ = [
    "CacheFull",
    "Place",
    "RemotePath",
    "bring",
    "commit_options",
    "descriptor",
    "fetched",
    "fetched_file",
    "folder_of",
    "folder_to_write",
    "forget",
    "free_bytes",
    "has_locks",
    "hold",
    "is_url",
    "keep",
    "leased",
    "listed_files",
    "local_file",
    "local_folder",
    "mark_of",
    "marks_in",
    "opened",
    "origin_of",
    "outgoing",
    "place_of",
    "publish",
    "put_folder",
    "readable",
    "reading_threads",
    "remove_empty",
    "remove_folder",
    "remove_unleased",
    "require_puts",
    "require_safe_commits",
    "retried",
    "root",
    "shown",
    "sizes_in",
    "table_uri",
    "withdraw",
]
