"""The texts of the rows that heads are trained on, for what is made of words."""

import numpy as np
import pyarrow as pa

from ...store import plan
from ...store.stage import Stage
from ..words.texts import Texts

_READ_ROWS = 1 << 16


def read_texts(stage: Stage, chosen: np.ndarray) -> Texts:
    """The texts of a stage's labelled rows among those chosen, in the source's order.

    ``chosen`` is bool [ids], see :meth:`Stage.rows_where`. The stage must have kept its texts.
    """
    names = ["text"] if stage.pair_column is None else ["text", "pair"]
    kept: list[list[pa.Array]] = [[] for _ in names]
    rows = plan.rows_sql(stage.name, f"id, {', '.join(names)}", "label IS NOT NULL")
    with stage.con.cursor() as cursor:
        for batch in cursor.sql(rows).to_arrow_reader(_READ_ROWS):
            is_chosen = pa.array(chosen[batch.column("id").to_numpy()])
            for chunks, name in zip(kept, names, strict=True):
                chunks.append(batch.column(name).filter(is_chosen).cast(pa.large_string()))
    return Texts(*(pa.chunked_array(chunks, pa.large_string()) for chunks in kept))
