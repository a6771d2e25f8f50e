"""What decodes and computes batches: in this process, or in processes of their own.

For the rooms above: `engine.open_engine` and its `Engine`, of `backend` WorkItem and Decoder, for the start
`template.TEMPLATE`, `decode_ahead.AheadDecoder`, and `wants` (what an image's row holds). For other processes
of a server `child`, `own_end`, the pauses of `restarts` between their starts, and the `arenas` that
images lie in.
"""
