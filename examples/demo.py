"""The main job of enc on a small sample: build features, train a head, score a Parquet file.

Usage: python examples/demo.py [SAMPLE.tsv] [MODEL]

The Chinese sample wants a model that reads Chinese: examples/hotel-reviews-zh.tsv bert-base-chinese
"""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb

HERE = Path(__file__).parent
OUTPUT = Path("demo-output")


def run(*command: str) -> None:
    """Run a command of enc, showing it as a user would type it."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    subprocess.run([str(Path(sys.executable).with_name(command[0])), *command[1:]], check=True)


def main() -> None:
    sample = sys.argv[1] if len(sys.argv) > 1 else str(HERE / "hotel-reviews-en.tsv")
    model = sys.argv[2] if len(sys.argv) > 2 else "minilm"
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    store, head = str(OUTPUT / "features"), str(OUTPUT / "head")
    held_out, scored = str(OUTPUT / "held-out.parquet"), str(OUTPUT / "scored.parquet")

    # Every fifth row is kept away from training and scored at the end.
    rows = (
        f"SELECT *, row_number() OVER () % 5 = 0 AS held_out FROM read_csv('{sample}', delim='\t', "
        "quote='', header=true)"
    )
    training = str(OUTPUT / "train.parquet")
    for path, condition in ((training, "NOT held_out"), (held_out, "held_out")):
        duckdb.execute(
            f"COPY (SELECT sentence, label FROM ({rows}) WHERE {condition}) TO '{path}' (FORMAT parquet)"
        )

    print("1. Each text is turned into features once, and they are kept.")
    run("enc", "build-features", sample, "--store", store, "--model", model)
    print("\n2. Asked again, there is nothing left to encode.")
    run("enc", "build-features", sample, "--store", store, "--model", model)
    print("\n3. A head is trained on four fifths of the rows; the others are held out.")
    run("enc", "train-head", training, "--valid", held_out, "--store", store, "--output", head)
    print("\n4. A Parquet file of the held-out rows is scored.")
    run("enc", "score", held_out, scored, "--head", head, "--store", store, "--proba")
    print("\n5. Any text can be tried.")
    run(
        "enc",
        "predict",
        "--head",
        head,
        "Spotless room, friendly staff and a great breakfast.",
        "Never again.",
    )

    right, majority, total = duckdb.sql(
        "SELECT count(*) FILTER (prediction = label), greatest(sum(label), sum(1 - label)), count(*) "
        f"FROM '{scored}'"
    ).fetchall()[0]
    print(
        f"\nheld-out accuracy {right / total:.3f} on {total} rows (always guessing the larger class: "
        f"{majority / total:.3f})"
    )
    print(f"scored rows: {scored}")


if __name__ == "__main__":
    main()
