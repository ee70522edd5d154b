"""What scores texts: a head, or a fine-tuned model as one. transformers is imported for the latter only."""

from pathlib import Path

from .heads.head import Head


def load_classifier(folder: str | Path) -> Head:
    """Read a head, or a fine-tuned model as a head. Raises HeadError or ModelError for what is neither."""
    folder = Path(folder)
    if (folder / "config.json").is_file() and not (folder / "head.json").is_file():
        from .finetune import tuned

        return tuned.load_classifier(folder)
    return Head.load(folder)
