"""The model bundle, the folder of its versions, and onnxruntime over it.

For the programs: `bundle` (`ModelBundle`, its `BundleContract`, `seal`), `task` (single- or multi-label:
`Task`, `selected`), `golden` (`Golden`), `versions` (`fetch`, `publish`, `look`), `promotions` (which of them
is the latest), `rollouts` (which is tried beside it), `classifier` (`Classifier`, `top_k`),
`sessions.open_session`, `providers.Provider` (loads no onnxruntime), `saturation` (whether sums of int8 are
exact here), `shared_weights` (one copy of a model's weights for many processes), `measured` (`Metrics`,
`LabelMetrics`, `Opinion`), and `distance` (how far predictions are from those at the release).
"""
