"""The training loop: its phases, its state, when it ends."""
