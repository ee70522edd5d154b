from enc.store.compare import conditions


def test_ranges_of_keys_part_all_keys():
    assert conditions(10) == ["true"]
    ranges = conditions(3_500_000)
    assert ranges[0] == "key >= '\\x00'::BLOB AND key < '\\x40'::BLOB"
    assert ranges[-1] == "key >= '\\xC0'::BLOB"
    assert len(conditions(10**12)) == 256
