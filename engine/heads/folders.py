"""Where a head lies: in a folder, in an object store, or on the hub."""

import json
from dataclasses import dataclass
from pathlib import Path

from ...store import HubError
from ...store.places import local_folder
from ..encode.hub_files import hub_folder
from ..encode.hub_names import HubName

HEAD_JSON = "head.json"


@dataclass(frozen=True)
class HeadFolder:
    """A head's or a fine-tuned model's folder of this machine, and where it comes from."""

    folder: Path
    hub: HubName | None = None
    """With the commit as its revision; None of what is not from the hub."""

    @property
    def name(self) -> str:
        """How people call it."""
        return self.hub.name if self.hub else self.folder.name


def head_folder(path: str | Path) -> HeadFolder:
    """The folder of a head that is a folder, a URL of an object store, or ``hf://OWNER/REPO@REVISION``.

    Of the hub, all files are of one commit, and its cache keeps them. Raises HubError and PlaceError.
    """
    name = HubName.of(path)
    if name is None:
        return HeadFolder(local_folder(path))
    folder = hub_folder(name, ["*.json"])
    pinned = name.at(folder.name)
    if (folder / HEAD_JSON).is_file():
        hub_folder(pinned, ["*.safetensors"])
    elif _is_classifier(folder):
        hub_folder(pinned, ["*.safetensors", "vocab.*", "merges.txt", "*.model"])
    else:
        raise HubError(
            f"'{name}' holds neither a head that `enc push` put there (with {HEAD_JSON}) nor a model for "
            "sequence classification"
        )
    return HeadFolder(folder, pinned)


def _is_classifier(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return any("SequenceClassification" in name for name in config["architectures"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
