"""A model that is trained from the states of a frozen layer upwards."""

import copy
import inspect
from typing import Any

from transformers import PreTrainedModel

from ..heads.upper import cut


def begin_at_states(model: PreTrainedModel, layers: int) -> None:
    """Let a model take the states of layer ``layers`` as its ``inputs_embeds``, and go on from there.

    Its weights, their names and what is saved of it stay those of the whole model.
    """
    shared: dict[int, Any] = {id(one): one for one in (*model.parameters(), *model.buffers())}
    upper = copy.deepcopy(model, shared)  # its modules are new, and its weights are the model's own
    cut(upper, layers)

    def forward(**inputs: Any) -> Any:
        upper.train(model.training)
        upper.to(model.device)  # type: ignore[arg-type]  # buffers, which are moved apart
        return upper(**inputs)

    # A plain function, and no method: accelerate binds methods to the model, whose own they would not be.
    forward.__signature__ = inspect.signature(model.forward)  # type: ignore[attr-defined]
    model.forward = forward
