"""Leases of folders of an object store: who uses one keeps it, and nobody removes one that is used."""

import threading
import time

import pytest
from enc.store.places import leased, leases, place_of, remove_unleased

FOLDER = "store/_work/id/"


@pytest.fixture
def folder(objects, monkeypatch):
    monkeypatch.setattr(leases, "_LOOK_SECONDS", 0.01)
    objects.objects[f"{FOLDER}texts-1.parquet"] = (b"texts", time.time())
    return place_of("s3://bucket/store/_work/id")


def names(objects):
    return sorted(name.removeprefix(FOLDER) for name in list(objects.objects) if name.startswith(FOLDER))


def test_what_is_used_is_not_removed(objects, folder):
    with leased(folder):
        with leased(folder):
            assert not remove_unleased(folder)
        assert not remove_unleased(folder)
        assert [name.partition("-")[0] for name in names(objects)] == ["lease", "texts"]
    assert names(objects) == ["texts-1.parquet"]
    assert remove_unleased(folder)
    assert names(objects) == []
    assert remove_unleased(folder)  # which is gone


def test_a_lease_is_renewed(objects, folder, monkeypatch):
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    objects.every, objects.faults = 3, ("503",)
    with leased(folder):
        lease = next(name for name in objects.objects if "lease-" in name)
        first = objects.objects[lease][1]
        until = time.monotonic() + 60
        while objects.objects[lease][1] == first:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert names(objects) == ["texts-1.parquet"]


def test_a_process_that_was_killed_uses_nothing(objects, folder):
    """Neither its lease nor its removal counts when it is old by the clock of the store."""
    for age in (leases.DEAD_SECONDS - 60, leases.DEAD_SECONDS + 60):
        objects.objects[f"{FOLDER}lease-killed"] = (b"", time.time() - age)
        assert remove_unleased(folder) == (age > leases.DEAD_SECONDS)
        assert bool(names(objects)) == (age < leases.DEAD_SECONDS)
    objects.objects[f"{FOLDER}removal-killed"] = (b"", time.time() - leases.DEAD_SECONDS - 60)
    with leased(folder):
        assert len(names(objects)) == 2
    assert remove_unleased(folder)
    assert names(objects) == []


def test_who_begins_during_a_removal_waits_for_its_end(objects, folder):
    objects.objects[f"{FOLDER}removal-other"] = (b"", time.time())
    began, ends = threading.Event(), threading.Event()

    def use():
        with leased(folder):
            began.set()
            ends.wait(60)

    thread = threading.Thread(target=use)
    thread.start()
    until = time.monotonic() + 60
    while not any(name.startswith("lease-") for name in names(objects)):
        assert time.monotonic() < until
    assert not began.wait(0.2)
    assert not remove_unleased(folder)  # another removal, which sees that somebody waits
    del objects.objects[f"{FOLDER}removal-other"]
    assert began.wait(60)
    ends.set()
    thread.join()
    assert names(objects) == ["texts-1.parquet"]


def test_a_lease_that_comes_while_a_folder_is_removed_stays(objects, folder, monkeypatch):
    looked = leases._living

    def late(written, kind):
        found = looked(written, kind)
        if kind == "lease-":
            objects.objects[f"{FOLDER}lease-late"] = (b"", time.time())
        return found

    monkeypatch.setattr(leases, "_living", late)
    assert remove_unleased(folder)
    assert names(objects) == ["lease-late"]  # it waits, and begins with nothing


def test_a_removal_and_a_use_that_begin_together_see_each_other(objects, folder, monkeypatch):
    """The removal lets the folder be where the lease is there before it looks, whoever looks first."""
    looked = leases._living

    def late(written, kind):
        if kind == "removal-":
            assert not remove_unleased(folder)
        return looked(written, kind)

    monkeypatch.setattr(leases, "_living", late)
    with leased(folder):
        assert "texts-1.parquet" in names(objects)
