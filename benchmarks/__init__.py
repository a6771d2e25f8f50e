"""How fast, against the limit: each module is one command."""
