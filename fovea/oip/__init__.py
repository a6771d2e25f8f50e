"""Messages and stubs of the Open Inference Protocol v2, generated from proto/."""
