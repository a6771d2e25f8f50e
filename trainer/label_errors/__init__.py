"""Which labels are most likely wrong: trainings that each hold some images out, and a page of suspicions.

For the program: `command.labels`.
"""
