"""The processes that train one network together, on one machine or several.

What takes part in a training sees one small object, a `group.Ranks`, whose `share` of each batch it computes;
a process by itself has `group.ALONE`, which does nothing and costs nothing. `launching.launch` starts ranks,
each enters by `joining.joined`, and `agreement` names what has to be alike on all.
"""
