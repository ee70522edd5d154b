"""The nine GLUE tasks' files, as small as can be."""

from enc.engine.finetune.glue import GLUE

# As the tasks' files are laid out: header, two rows, their labels, and the text of the first row.
FORMATS = {
    "cola": ("gj04\t1\t\ta dog.\ngj04\t0\t*\tdog a a.\n", [1, 0], "index\tsentence\n0\ta cat\n"),
    "sst2": ("sentence\tlabel\nso good \t1\nso bad \t0\n", [1, 0], "index\tsentence\n0\ta cat\n"),
    "mrpc": (
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
        '1\t10\t11\ta "quoted dog\ta dog\n0\t12\t13\ta\tb\n',
        [1, 0],
        "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\ta\tb\n",
    ),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        "0\tg\tf\t2012\t1\tn\tn\ta\tb\t5.000\n1\tg\tf\t2012\t4\tn\tn\tc\td\t3.8\n",
        [5.0, 3.8],
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\n"
        "0\tg\tf\t2\t1\tn\tn\ta\tb\n",
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
        "1\t2\t3\thow?\twhy?\t0\n4\t5\t6\twhy?\twhy?\t1\n7\t8\n",
        [0, 1],
        "id\tquestion1\tquestion2\n0\ta\tb\n",
    ),
    "mnli": (
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
        "sentence2_parse\t"
        "sentence1\tsentence2\tlabel1\tgold_label\n"
        "0\t1\t1e\tg\t(\t(\t(\t(\ta\tb\tneutral\tneutral\n"
        "1\t1\t1e\tg\t(\t(\t(\t(\tc\td\tcontradiction\tcontradiction\n",
        [1, 2],
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
        "sentence2_parse\t"
        "sentence1\tsentence2\n0\t1\t1e\tg\t(\t(\t(\t(\ta\tb\n",
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel\n0\tq\ta\tnot_entailment\n1\tq\tb\tentailment\n",
        [1, 0],
        "index\tquestion\tsentence\n0\tq\ta\n",
    ),
    "rte": (
        "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tnot_entailment\n1\tc\td\tentailment\n",
        [1, 0],
        "index\tsentence1\tsentence2\n0\ta\tb\n",
    ),
    "wnli": (
        "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t0\n1\tc\td\t1\n",
        [0, 1],
        "index\tsentence1\tsentence2\n0\ta\tb\n",
    ),
}


def write_task(folder, name):
    train, _, test = FORMATS[name]
    task = GLUE[name]
    dev = ("dev_matched", "dev_mismatched") if task.matched else ("dev",)
    tests = ("test_matched", "test_mismatched") if task.matched else ("test",)
    place = folder / task.folder
    place.mkdir(parents=True)
    for split in ("train", *dev):
        (place / f"{split}.tsv").write_text(train, encoding="utf-8")
    for split in tests:
        (place / f"{split}.tsv").write_text(test, encoding="utf-8")
    return place
