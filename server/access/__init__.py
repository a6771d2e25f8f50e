"""Who may call: bearer tokens, each with a name and what it is for, from a file that holds none of them.

For the rooms above: `access` (`Access`, `access_of`), `scopes.Scope`.
"""
