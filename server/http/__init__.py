"""The same services over HTTP: a request becomes a call of theirs, and their answer JSON.

For the rooms above: `routes.http_server`, which makes the `server.HttpServer`.
"""
