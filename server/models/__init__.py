"""The model that is served: loaded, found and swapped as versions come, or refused.

For the rooms above: `model` (`Model`, `Models`, `Versions`, `Classified`, `CallTimes`, `ModelFigures`),
`served_model` (`ServedModel`, `LoadedModels`), `watcher.Watcher`, `following.VersionSearch`.
"""
