"""What scores texts: a head, or a fine-tuned model as one."""

from pathlib import Path

from .finetune.tuned_files import is_tuned
from .heads.folders import head_folder
from .heads.head import Head


def load_classifier(folder: str | Path, *, verify_model: bool = False, allow_code: bool = False) -> Head:
    """Read a head, or a fine-tuned model as a head.

    ``folder`` may be ``hf://OWNER/REPO`` or ``hf://OWNER/REPO@REVISION``, a repository that ``enc push``
    filled. ``verify_model`` computes the digests of a fine-tuned model's files anew, and ``allow_code`` lets
    the class of a ``module:Class`` head be imported. Raises HubError for what cannot be had from the hub, and
    HeadError or ModelError for what is neither a head nor a model.
    """
    found = head_folder(folder)
    if not is_tuned(found.folder):
        return Head.load(found.folder, allow_code=allow_code)
    from .finetune.tuned import tuned_head

    return tuned_head(found, verify_model=verify_model)
