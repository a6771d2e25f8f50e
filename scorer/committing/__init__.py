"""The end of a run: its summary, its comparison with others, its page.

Other rooms use `commit.finish_run`, `commit.is_finished` and `verification.check_server`.
"""
