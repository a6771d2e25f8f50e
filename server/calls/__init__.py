"""Calls of fovea.v1.Classifier, and what calls of every service go through: limits, admission, log, end.

For the rooms above: `answering` (`Calls`, `add_service`, `RequestLimit`), `admission.Admission`,
`draining.drain_calls`, `service.ClassifierService`, `request_limits.classifier_limits`, `message_fields`.
"""
