"""Into which pieces large text files are divided, as it is kept in the folder of a first pass.

To divide a file, all of it is looked through (:mod:`.text_pieces`). One process does that, and all others
find in the folder what it has found. A file of which a piece cannot be read apart is made one piece there.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict

from .errors import SourceError, StoreError
from .files import replaced_file
from .places import Place, mark_of, place_of
from .source import Source
from .text_file import Lines
from .text_pieces import may_be_divided, pieces_of_text
from .work import using

_Mark = tuple[str | int | float, ...]


def division_of(folder: Place, file: str, mark: _Mark) -> tuple[Lines, ...] | None:
    """The pieces of a file with a mark (:func:`enc.store.places.mark_of`); none where it is one piece.

    None where nobody has divided it. Raises StoreError where what lies there is damaged.
    """
    return _read(folder, file, mark) if may_be_divided(file, int(mark[0])) else ()


def divide(folder: Place, source: Source, file: str, mark: _Mark) -> tuple[Lines, ...]:
    """As :func:`division_of`, but the file is divided if nobody has done it.

    Raises SourceError as :func:`pieces_of_text`, and for a file that changes meanwhile.
    """
    found = division_of(folder, file, mark)
    if found is None:
        found = pieces_of_text(source, file)
        if mark_of(place_of(file)) != mark:
            raise SourceError(f"{file} changed while it was read; run this again when it is complete")
        with using(folder):
            _write(folder, file, mark, found)
    return found


def make_whole(folder: Place, file: str, mark: _Mark) -> None:
    """Have a file read as one piece from now on."""
    _write(folder, file, mark, ())


def is_whole(folder: Place, file: str, mark: _Mark) -> bool:
    """Whether a file that was divided is read as one piece, because of a piece that cannot be read apart."""
    return _read(folder, file, mark) == ()


def _read(folder: Place, file: str, mark: _Mark) -> tuple[Lines, ...] | None:
    place = folder / _name(file, mark)
    try:
        return tuple(Lines(**one) for one in json.loads(place.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(
            f"'{place}' is damaged ({error}); remove the folder '{folder}', and run this again"
        ) from error


def _write(folder: Place, file: str, mark: _Mark, pieces: Sequence[Lines]) -> None:
    told = json.dumps([asdict(one) for one in pieces], ensure_ascii=False)
    with replaced_file(folder / _name(file, mark)) as path:
        path.write_text(told, "utf-8")


def _name(file: str, mark: _Mark) -> str:
    return f"pieces-{hashlib.sha256(json.dumps([file, *mark]).encode()).hexdigest()[:32]}.json"
