"""The model server: encoded images come in over gRPC, labels and probabilities go out."""
