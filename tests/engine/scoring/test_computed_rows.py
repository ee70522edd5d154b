"""What workers computed is found again by the numbers of rows, over the bounds of parts."""

import numpy as np
from enc.engine.scoring import batches_of_ids, outputs_task
from enc.engine.scoring.division import ComputedRows


def test_outputs_are_found_over_the_bounds_of_parts(tmp_path, head):
    batches = batches_of_ids.Batches.of((0, 5, 5), 11, 4)
    assert batches.bounds.tolist() == [0, 4, 5, 9, 11]
    assert batches.part_starts().tolist() == [0, 4, 5, 9]
    values = np.arange(22, dtype=np.float32).reshape(11, 2)
    known = np.ones(11, np.bool_)
    rows = ComputedRows(tmp_path, 0, head, np.zeros(11, np.int64), batches)
    assert rows.missing() == {0, 1, 2, 3}
    for part in range(4):
        start, stop = batches.part(part)[[0, -1]]
        outputs_task.write_part(tmp_path / f"0-{part}.part", values[start:stop], known[start:stop])
    assert rows.missing() == set()
    ids = np.array([0, 3, 4, 8, 10])
    np.testing.assert_array_equal(rows.outputs(ids), values[ids])


def test_there_are_not_too_many_parts():
    batches = batches_of_ids.Batches.of((0,), 10_000, 2)
    assert batches.parts == 1250
    assert sum(len(batches.part(part)) - 1 for part in range(1250)) == 5000
    assert batches.part(1249)[-1] == 10_000
