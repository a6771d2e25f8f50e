"""Runs a model over a whole folder or bucket of images: one row for every image, in parquet."""

import os

# Before pyarrow is first imported: its own allocator keeps tens of megabytes that were freed, more with every
# thousand rows, and the files here are small for its speed.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
