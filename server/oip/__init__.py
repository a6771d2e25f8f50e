"""The Open Inference Protocol v2, and what Triton's clients ask beyond it, over the model that is served.

Specification: https://github.com/kserve/open-inference-protocol; the extensions are described in Triton's
docs/protocol.

For the rooms above: `service.InferenceService` with its `inference.Inference`, `repository.Repository`,
`request_limits.inference_limits` and `infer_request.PARSERS`. For HTTP, which makes requests of JSON, also
`infer_request.InferRequest`, `inputs.LENGTH`, `aliases.quoted` and `request_limits.MAX_REST_BYTES`.
"""
