"""The models that are served: loaded, found and swapped as versions come, or refused.

For the rooms above: `model` (`Model`, `Models`, `Versions`, `Classified`, `CallTimes`, `ModelFigures`),
`served_model.ServedModel`, `catalogue.Catalogue`, `watchers.Watchers`, `captures.Captures`,
`folders.name_of`, `following.VersionSearch`.
"""
