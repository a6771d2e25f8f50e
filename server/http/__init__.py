"""The same services over HTTP: a request becomes a call of theirs, and their answer JSON.

For the rooms above: `server.HttpServer`, `uploads.Uploads`, and of routes `classify.ClassifyRoutes`,
`inference.InferenceRoutes`, `openapi.OpenApiRoutes`.
"""
