"""From folders, tables and buckets to batches: listed, fetched, audited, decoded once, augmented.

For the rooms above: `sources.open_source` and `open_heldout` list samples; `data.read_images` makes a set
of them, `every_image.read_every_image` one of all, whose `batches.Images` are drawn as batches, augmented by
`augment.augment` and mixed with each other by `mixing.mix`; `audit.AuditRecord` is what was found on the way,
in the words of `traits`, with what `copies` makes of pictures that are nearly the same; `labels` tells which
labels look alike, `corrections` corrects them, `crops` gives training images as serving would cut them,
`captured` brings those that were captured in production.
`near_duplicates` finds pictures of a `field` that are nearly the same, `groups` connects them.
`grouping` says which images belong together, `group_split` and `stratification` who is held out, `digests`
what files and their labels are. Several labels an image are told as `labelling` says, split and made targets
of by `label_split`.
"""
