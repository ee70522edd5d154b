"""The texts of rows that are scored, for heads with words."""

import numpy as np
import pyarrow as pa

from ...store import plan
from ...store.stage import StagedTexts
from ..words.texts import Texts

_READ_ROWS = 8192


def texts_of_ids(stage: StagedTexts, ids: np.ndarray) -> Texts:
    """The texts of a stage's rows with these ids, which ascend; those of a batch are near by.

    The stage must have kept its texts.
    """
    names = ["text"] if stage.pair_column is None else ["text", "pair"]
    kept: list[list[pa.Array]] = [[] for _ in names]
    if len(ids):
        first, last = int(ids[0]), int(ids[-1])
        is_wanted = np.zeros(last - first + 1, np.bool_)
        is_wanted[ids - first] = True
        rows = plan.rows_sql(stage.name, f"id, {', '.join(names)}", f"id >= {first} AND id <= {last}")
        with stage.con.cursor() as cursor:
            for batch in cursor.sql(rows).to_arrow_reader(_READ_ROWS):
                chosen = pa.array(is_wanted[batch.column("id").to_numpy() - first])
                for chunks, name in zip(kept, names, strict=True):
                    chunks.append(batch.column(name).filter(chosen).cast(pa.large_string()))
    texts = Texts(*(pa.chunked_array(chunks, pa.large_string()) for chunks in kept))
    if len(texts) != len(ids):
        raise RuntimeError(f"stage {stage.name} has texts of {len(texts)} of {len(ids)} rows")
    return texts
