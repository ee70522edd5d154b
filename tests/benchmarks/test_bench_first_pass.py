from enc.benchmarks.bench_first_pass import report, run


def test_every_step_is_measured(tmp_path):
    steps, part_bytes = run(1000, tmp_path)
    assert len(steps) == 6
    assert all(one.cpu_seconds > 0 and one.bytes > 0 for one in steps)
    assert 40 < part_bytes < 400
    assert report(1000, steps, part_bytes).count("\n| ") == 8
