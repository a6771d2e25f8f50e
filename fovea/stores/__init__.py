"""Folders of objects: local, or in the buckets of S3, Google and Azure. `storage` opens one."""
