"""What heads give for a part of the rows, in a file that tells by itself whether it is whole.

Four bytes are the checksum of which rows of the part have features, and of the outputs of all its rows,
float32 in the machine's order, which follow. What is no such file of these rows is as if it were not there.
"""

from pathlib import Path
from zlib import crc32

import numpy as np

from ...store.files import replaced_file
from .batches_of_ids import checksum_of_known

_CHECKSUM = np.dtype("<u4")


def write_part(path: Path, outputs: np.ndarray, known: np.ndarray) -> None:
    """Write outputs float32 [rows, outputs] of a part of which these rows, bool [rows], have features."""
    data = np.ascontiguousarray(outputs, np.float32)
    checksum = crc32(data.view(np.uint8).data, checksum_of_known(known))
    with replaced_file(path) as part, open(part, "wb") as file:
        file.write(np.array(checksum, _CHECKSUM).tobytes())
        file.write(data.data)


def is_whole(path: Path, outputs: int, known: np.ndarray) -> bool:
    """Whether there is what :func:`write_part` wrote of these rows, of a head with so many outputs."""
    try:
        content = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        return False
    size = _CHECKSUM.itemsize
    if len(content) != size + 4 * len(known) * outputs:
        return False
    checksum = int(content[:size].view(_CHECKSUM)[0])
    return crc32(content[size:].data, checksum_of_known(known)) == checksum


def mapped_part(path: Path, rows: int, outputs: int) -> np.ndarray:
    """The outputs float32 [rows, outputs] in a file that is whole; they are read when they are used."""
    if not rows:
        return np.empty((0, outputs), np.float32)
    return np.memmap(path, np.float32, "r", offset=_CHECKSUM.itemsize, shape=(rows, outputs))
