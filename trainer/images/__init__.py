"""From folders, tables and buckets to batches: listed, fetched, audited, decoded once, augmented."""
