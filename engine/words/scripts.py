"""Whether texts are written with spaces between their words."""

import re
from collections.abc import Iterable
from itertools import islice

_SAMPLE = 2000  # texts
_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3005-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"  # Chinese
)
_LETTER = re.compile(r"[^\W\d_]")


def are_without_spaces(texts: Iterable[str]) -> bool:
    """Whether at least half of the letters of the first texts are of scripts without spaces between words.

    Such scripts are the Chinese, the Japanese and the Thai one, and a few of their neighbours.
    """
    letters = found = 0
    for text in islice(texts, _SAMPLE):
        letters += len(_LETTER.findall(text))
        found += len(_WITHOUT_SPACES.findall(text))
    return 2 * found >= letters > 0
