"""The port of the calls, and all services on it.

For the rooms above: `call_server` (`CallServer`, `Door`).
"""
