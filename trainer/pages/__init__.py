"""What the trainer's pages share: how they write text and numbers, their style, what a browser may run."""
