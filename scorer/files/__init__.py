"""The files of a run: their names, their formats, who may read which."""
