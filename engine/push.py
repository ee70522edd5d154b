"""From a folder to a repository of the hub."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..store import HubError
from .classifier import load_classifier
from .encode.hub_files import LOGIN, hub_errors_told, quiet_hub, token_of_user
from .encode.hub_names import HubName
from .finetune.tuned_files import RECORD
from .heads.folders import HEAD_JSON, head_folder
from .publish.card import is_own, model_card
from .publish.public import write_public

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoSibling

CARD = "README.md"
_OF_HUB = (".gitattributes", CARD)
_OWN = (".json", ".safetensors", ".txt", ".model")
"""Ends of the names of what a push sends."""


@dataclass(frozen=True)
class Pushed:
    """What a push did."""

    repo: str
    revision: str
    commit: str
    url: str
    files: dict[str, int]
    """Bytes by name."""
    removed: list[str]
    """Files of an earlier push that this one does not have."""
    base_model: str | None
    private: bool
    is_changed: bool
    """Whether the repository differs from before."""
    remarks: list[str]
    """What whoever pushes should know."""


def push_head(
    folder: str | Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    base_model: str | None = None,
    allow_code: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Pushed:
    """Put a head or a fine-tuned model on the hub, as one commit, where ``hf://OWNER/REPO`` finds it.

    Safetensors, JSON and a model card are sent, and of a fine-tuned model the files of its tokenizer: no
    reports, no rows, and nothing that names a place of this machine. ``revision`` is a branch, made if it is
    not there; ``base_model`` the hub id of the encoder, where its folder does not tell. A repository that
    holds anything else is refused, and so is a public one with ``private``. A card that somebody has edited
    stays as it is. Raises HubError, and as :func:`enc.load_classifier` does.
    """
    name = HubName.parse(repo)
    if revision is not None:
        name = HubName.parse(f"{name.repo}@{revision}")
    head, found = load_classifier(folder, allow_code=allow_code), head_folder(folder)
    with tempfile.TemporaryDirectory(prefix="enc-push-") as scratch:
        public = write_public(found, head, Path(scratch), base_model)
        (Path(scratch) / CARD).write_text(model_card(name, head, public), encoding="utf-8")
        files = {path.name: path.stat().st_size for path in sorted(Path(scratch).iterdir())}
        if token_of_user() is None:
            raise HubError(f"there is no token for the hub; {LOGIN}")
        say(f"sending {len(files)} files, {sum(files.values()) / 1e6:.1f} MB, to {name.repo} …")
        with hub_errors_told(name), quiet_hub():
            return _sent(Path(scratch), files, name, public.base_model, [*public.remarks], private=private)


def _sent(
    folder: Path,
    files: dict[str, int],
    name: HubName,
    base_model: str | None,
    remarks: list[str],
    *,
    private: bool,
) -> Pushed:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api, branch = HfApi(library_name="enc-features"), name.revision or "main"
    api.create_repo(name.repo, private=private or None, exist_ok=True)
    info = api.model_info(name.repo, files_metadata=True)
    if private and not info.private:
        raise HubError(
            f"'{name.repo}' is there, and is public; make it private on its page, or push to another"
        )
    if branch != "main":
        api.create_branch(name.repo, branch=branch, exist_ok=True)
        info = api.model_info(name.repo, revision=branch, files_metadata=True)
    there = {one.rfilename: one for one in info.siblings or ()}
    _require_own(name, there)
    sent = dict(files)
    if CARD in there and not is_own(_card_there(api, name.repo, str(info.sha))):
        del sent[CARD]
        remarks.append(f"{CARD} has been edited since it was pushed, and stays as it is")
    stale = sorted(path for path in there if path not in files and path not in _OF_HUB)
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(path, folder / path) for path in sent if not _is_there(folder / path, there)),
        *(CommitOperationDelete(path) for path in stale),
    ]
    commit = str(info.sha)
    if operations:  # another push in between is an error, and not a mixture
        done = api.create_commit(
            name.repo, operations, commit_message="Pushed by enc", revision=branch, parent_commit=commit
        )
        commit = done.oid
    url = f"{api.endpoint}/{name.repo}{'' if branch == 'main' else f'/tree/{branch}'}"
    return Pushed(
        repo=name.repo,
        revision=branch,
        commit=commit,
        url=url,
        files=sent,
        removed=stale,
        base_model=base_model,
        private=bool(info.private),
        is_changed=bool(operations),
        remarks=remarks,
    )


def _is_there(path: Path, there: "Mapping[str, RepoSibling]") -> bool:
    """Whether a repository has a file of this name and content."""
    known = there.get(path.name)
    if known is None:
        return False
    data = path.read_bytes()
    if known.lfs is not None:
        return known.lfs["sha256"] == hashlib.sha256(data).hexdigest()
    git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
    return known.blob_id == git.hexdigest()


def _require_own(name: HubName, there: Iterable[str]) -> None:
    """Raise HubError where a repository holds what an earlier push did not put there."""
    others = [path for path in there if path not in _OF_HUB]
    is_own = HEAD_JSON in others or RECORD in others
    foreign = [path for path in others if "/" in path or not path.endswith(_OWN)]
    if others and (foreign or not is_own):
        shown = ", ".join((foreign or others)[:3])
        raise HubError(
            f"'{name.repo}' holds something that `enc push` did not put there ({shown}); push to another "
            "repository"
        )


def _card_there(api: "HfApi", repo: str, commit: str) -> str:
    path = api.hf_hub_download(repo, CARD, revision=commit)
    return Path(path).read_text(encoding="utf-8", errors="replace")
