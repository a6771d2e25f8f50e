"""The training loop: its phases, its state, when it ends.

For the commands: `loop.fit`, and its `recipe.Recipe` with the `Objective` that it minimises, or of several
labels an image `multi_label.MultiLabelObjective`.
"""
