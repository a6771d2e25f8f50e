"""The captured images that would teach most, on a page to label them: what comes back is corrections.

For the program: `command.label`.
"""
