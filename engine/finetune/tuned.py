"""Fine-tuned models as what they are: an encoder, and a head on its first token's features.

A model for sequence classification reads the last hidden state of its first token, so it is scored,
exported and kept in a store like any head on ``cls`` features. Nothing here needs torch.
"""

import numpy as np

from ..heads.folders import HeadFolder
from ..heads.head import Head
from ..heads.kinds import TUNED
from ..heads.labels import Labels
from ..heads.tasks import TASKS
from .tuned_files import read_tuned


def tuned_head(found: HeadFolder, *, verify_model: bool = False) -> Head:
    """A fine-tuned model as a head. Raises ModelError or HeadError for a folder that holds none.

    ``verify_model`` computes the digests of the model's files anew. A model from the hub is recorded by its
    repository and commit.
    """
    from ..encode.checkpoint import checkpoint_of, facts_of

    folder, model = found.folder, str(found.hub or found.folder)
    files = read_tuned(folder)
    length = min(files.max_length, facts_of(model, verify_model=verify_model).longest_input)
    spec = checkpoint_of(model, verify_model=verify_model, pooling="cls", max_length=length).spec
    unscaled = {
        "mean": np.zeros(spec.hidden_size, np.float32),
        "scale": np.ones(spec.hidden_size, np.float32),
    }
    return Head(
        kind=TUNED,
        arguments={"activation": files.activation},
        labels=Labels(files.labels),
        spec=spec,
        weights={f"head.{name}": one for name, one in files.weights.items()} | unscaled,
        feature_set=f"{found.hub.name if found.hub else folder.resolve().name}-cls-{spec.max_length}",
        text_column=files.record.get("text_column") or "",
        pair_column=files.record.get("pair_column"),
        task=TASKS[files.task],
        metrics=files.record.get("metrics", {}),
        record=files.record,
    )
