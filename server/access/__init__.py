"""Who may call: bearer tokens, of a file that holds only their digests, or signed by an issuer.

For the rooms above: `access` (`Access`, `access_of`), `scrapes.scrapes_of`.
"""
