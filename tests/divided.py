"""Several processes score as one does: here with a team in this process, whose workers load fake encoders."""

import dataclasses
import shutil

from enc.engine import score_parquet
from enc.engine.runners.team import Workers
from enc.store import FeatureTable
from fakes import FakeEncoder

WORKERS = Workers(3)


def setting_of(spec):
    return {"pooling": spec.pooling, "layers": spec.layers, "special_tokens": spec.special_tokens}


def load(spec):
    return FakeEncoder(**setting_of(spec))


def counts_of(summary) -> dict:
    values = dataclasses.asdict(summary)
    return {
        name: value for name, value in values.items() if name not in ("seconds", "outputs", "rejects_file")
    }


def copy_of(store, to):
    """A store with the same features, so that two runs find the same."""
    shutil.copytree(store, to)
    return to


def both(world, team, source, heads, *, folder=False, store=True, **options):
    """What one process and the team write: their outputs by name, and their counts."""
    found = []
    for name, workers in (("one", None), ("many", WORKERS)):
        place = world / name
        place.mkdir()
        given = copy_of(world / "store", place / "store") if store else None
        output = f"{place / 'out'}/" if folder else place / "out.parquet"
        summary = score_parquet(source, output, heads, given, load=load, workers=workers, **options)
        files = {
            str(path.relative_to(place)): path.read_bytes()
            for path in sorted(place.rglob("*.parquet"))
            if "store" not in path.parts
        }
        assert not [path.name for path in place.rglob("*enc-part*")]
        if given:
            files["rows in the store"] = FeatureTable(given / "set").rows
            assert sorted(path.name for path in place.iterdir() if path.name.startswith("store")) == ["store"]
        found.append((files, counts_of(summary)))
    return found
