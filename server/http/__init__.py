"""The same services over HTTP: a request becomes a call of theirs, and their answer JSON.

For the rooms above: `server.HttpServer`, `uploads.Uploads`, and of routes `classify.ClassifyRoutes`,
`crops.CropRoutes`, `inference.InferenceRoutes`, `page.PageRoutes`, `torchserve.TorchServeRoutes`,
`openapi.OpenApiRoutes`.
"""
