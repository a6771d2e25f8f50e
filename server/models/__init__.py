"""The model that is served: loaded, found and swapped as versions come, or refused.

For the rooms above: `served_model` (`ServedModel`, `Classified`, `LoadedModels`, `CallTallies`, `Tally`),
`watcher.Watcher`, `following.VersionSearch`.
"""
