"""The files of a run: their names, their formats, who may read which.

Other rooms use all of it: `layout` says where what lies; `plan`, `manifest`, `rows`, `summary` and `latest`
are the formats; `committed` reads the shards that are there; `folders` opens what holds images and output.
"""
