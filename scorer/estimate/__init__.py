"""What a run would take: timed on a sample, written nowhere.

Other rooms use `dry_run.dry_run`.
"""
