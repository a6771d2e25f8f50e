"""What a training leaves on disk: its run's folder, and the records in it.

For all above: `run_folder.RunFolder` with the files' names, `history` (an epoch, how training went),
`lineage` (what a run began with, where its model comes from), `release_record` (what it published)
and `random_split` (what its recipe reached on one).
"""
