"""Running an exported graph in tests."""

import numpy as np
from enc.engine.backends.onnx_file import INPUTS


def run(path, tokens):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    batch = tokens.batch(np.arange(len(tokens)))
    names = [i.name for i in session.get_inputs()]
    assert set(names) <= set(INPUTS)
    return session, session.run(None, {name: getattr(batch, name) for name in names})[0]
