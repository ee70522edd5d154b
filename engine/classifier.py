"""What scores texts: a head, or a fine-tuned model as one."""

from pathlib import Path

from .finetune.tuned_files import is_tuned
from .heads.head import Head


def load_classifier(folder: str | Path) -> Head:
    """Read a head, or a fine-tuned model as a head. Raises HeadError or ModelError for what is neither."""
    if not is_tuned(folder):
        return Head.load(folder)
    from .finetune.tuned import tuned_head

    return tuned_head(Path(folder))
