"""What scores texts: a head, or a fine-tuned model as one."""

from pathlib import Path

from .finetune.tuned_files import is_tuned
from .heads.head import Head


def load_classifier(folder: str | Path, *, verify_model: bool = False, allow_code: bool = False) -> Head:
    """Read a head, or a fine-tuned model as a head.

    ``verify_model`` computes the digests of a fine-tuned model's files anew, and ``allow_code`` lets the
    class of a ``module:Class`` head be imported. Raises HeadError or ModelError for what is neither a head
    nor a model.
    """
    if not is_tuned(folder):
        return Head.load(folder, allow_code=allow_code)
    from .finetune.tuned import tuned_head

    return tuned_head(Path(folder), verify_model=verify_model)
