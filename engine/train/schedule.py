"""How the learning rate changes over the steps of a training."""

import math

SCHEDULES = ("constant", "linear", "cosine")


def learning_rate_factor(step: int, steps: int, schedule: str, warmup: float) -> float:
    """What the learning rate is multiplied by at a step, from 0, of ``steps`` in all.

    It rises for the share ``warmup`` of the steps, then stays (constant), falls evenly (linear), or
    along half a cosine, to 0 after the last step.
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / max(1, steps - rising)
    return {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[schedule]
