"""The network, what it starts from, how precisely it computes, and how it is kept on disk."""
