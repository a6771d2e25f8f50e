"""The model that is served: loaded, found and swapped as versions come, or refused.

For the rooms above: `loaded_models.LoadedModels`, `served_model` (`ServedModel`, `Classified`),
`watcher.Watcher`, `following.VersionSearch`.
"""
