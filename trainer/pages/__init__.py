"""What the trainer's pages share: how they write text and numbers, their style, what a browser may run.

For the report and the explanation: `markup`, with the style sheet beside it, and `pictures`, which the audit
keeps a few of for them.
"""
