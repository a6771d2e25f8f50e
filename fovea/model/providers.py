"""Where a model runs, by the names that options and onnxruntime have for it. Loads no onnxruntime."""

from typing import Final, Literal

Provider = Literal["auto", "cuda", "cpu"]
CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
