"""The same bundle on NVIDIA's Triton: `python -m server.triton` lays out a model repository for it."""
