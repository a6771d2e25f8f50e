"""The model bundle, the folder of its versions, and onnxruntime over it."""
