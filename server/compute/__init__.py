"""What decodes and computes batches: in this process, or in processes of their own.

For the rooms above: `engine.open_engine` and its `Engine`, `backend.WorkItem` and `Decoder`.
"""
