"""Texts as pages show them."""


def cut(text: str, most: int) -> str:
    """A text of at most so many characters; one that was longer ends with an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
