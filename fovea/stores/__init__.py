"""Folders of objects: local, or in the buckets of S3, Google and Azure.

For the programs: `storage` (`open_folder`, `open_reachable`, `LocalFolder`), `folder` (`Folder`, `Entry`),
`patience.wait_for_stores`, `conditional_puts.require_conditional_puts`, `extras.is_installed`, and of
`local_listing` and `object_keys` what the trainer's own listing needs.
"""
