"""Calls of fovea.v1.Classifier, and what calls of every service go through: limits, log, end.

For the rooms above: `answering` (`Calls`, `add_service`, `RequestLimit`), `access_log` (`Call`, `AccessLog`),
`call_traces` (`CallTraces`, `CallTrace`), `draining.drain_calls`, `service.ClassifierService`,
`request_limits.classifier_limits`, `message_fields`, `details` (what callers want beside predictions),
`sticky` (the key of a call's header).
"""
