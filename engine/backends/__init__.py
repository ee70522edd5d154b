"""What runs an encoder's network: torch, ONNX Runtime and OpenVINO, and the choice between them."""
