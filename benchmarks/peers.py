"""Peers in processes of their own, because they may need other releases of packages than enc does."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..engine.encode.checkpoint import checkpoint_of
from ..engine.encode.facts import quiet
from ..engine.encode.model_files import model_folder
from ..engine.export import export_onnx

WORKER = Path(__file__).with_name("peer_worker.py")


class PeerError(Exception):
    """A peer that cannot be measured, with its own reason."""


class Peers:
    """Peers on one sample, each in the first of several environments that has it; a context manager."""

    def __init__(self, model: str, sample: list[str], max_length: int, pythons: Sequence[str]):
        """``pythons`` are interpreters to look in; this one comes last."""
        self._model, self._sample, self._max_length = model, sample, max_length
        self._pythons = [*pythons, sys.executable]
        self._running: dict[str, _Peer] = {}

    def __enter__(self) -> "Peers":
        self._folder = tempfile.TemporaryDirectory()
        self._texts = Path(self._folder.name) / "texts.json"
        self._texts.write_text(json.dumps(self._sample), encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self._running.values():
            peer.close()
        self._folder.cleanup()

    def start(self, name: str) -> Callable[[], float]:
        """Load and warm up a peer; the answer is a function that gives its rate, in texts a second.

        Raises PeerError, with the reason of each environment, where none has it.
        """
        model = model_folder(self._model)
        if name == "fastembed":
            model = fastembed_folder(self._model, Path(self._folder.name) / "fastembed", self._max_length)
        request = {
            "peer": name,
            "folder": str(model),
            "texts": str(self._texts),
            "max_length": self._max_length,
        }
        problems = []
        for python in self._pythons:
            try:
                peer = self._running[name] = _Peer(python, request | {"threads": torch.get_num_threads()})
            except PeerError as error:
                problems.append(str(error))
                continue
            return lambda: len(self._sample) / peer.ask("run")["seconds"]
        raise PeerError("; ".join(dict.fromkeys(problems)))

    def remarks(self, name: str) -> dict[str, str]:
        """The releases that a peer ran with, as a remark of its measurement."""
        return {
            "with": ", ".join(
                f"{package} {version}" for package, version in self._running[name].versions.items()
            )
        }

    def features(self, name: str) -> np.ndarray:
        """Float32 [texts, hidden]."""
        path = Path(self._folder.name) / "features.npy"
        self._running[name].ask(f"save {path}")
        return np.load(path)


class _Peer:
    def __init__(self, python: str, request: dict[str, Any]):
        try:
            self._process = subprocess.Popen(
                [python, WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        except OSError as error:
            raise PeerError(f"cannot run {python}") from error
        try:
            self.versions: dict[str, str] = self.ask(json.dumps(request))["versions"]
        except PeerError:
            self.close()
            raise

    def ask(self, line: str) -> dict[str, Any]:
        """The answer to a line; raises PeerError for a problem, or where the process has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(line, file=self._process.stdin, flush=True)
            reply = json.loads(self._process.stdout.readline() or '{"problem": "its process ended"}')
        except OSError as error:
            raise PeerError("its process ended") from error
        if "problem" in reply:
            raise PeerError(reply["problem"])
        return reply

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def fastembed_folder(model: str, target: Path, max_length: int) -> Path:
    """A model as fastembed takes it: a fused graph of token features, and a tokenizer that cuts."""
    import transformers

    checkpoint = checkpoint_of(model, max_length=max_length, pooling="tokens")
    export_onnx(checkpoint, target / "model.onnx", target="cpu")
    with quiet():
        transformers.AutoConfig.from_pretrained(checkpoint.folder).save_pretrained(target)
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.folder)
        tokenizer.model_max_length = max_length
        tokenizer.save_pretrained(target)
    path = target / "special_tokens_map.json"
    if not path.exists():  # newer transformers keep them in one file
        path.write_text(
            json.dumps({k: str(v) for k, v in tokenizer.special_tokens_map.items() if isinstance(v, str)})
        )
    return target
