"""Two models over the same images, and which of them is the latest.

For the programs: `command` (`compare`), `promoting` (`promote`, `rollback`, `canary`); for the release and
its report, `weighing` (whether a model that was just trained is worse than the latest), in terms of
`comparison` and `paired`.
"""
