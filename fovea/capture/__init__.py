"""A chosen sample of what was answered, as parquet files in a folder: what may teach something, in a budget.

For the programs: `reasons` (`REASONS`, `Rules`, `margin_of`), `sampling` (`Sample`, `Budget`), `rows`
(`Captured`, `Window`), `files` (`put_window`, `require_pyarrow`), `retention.remove_older`,
`reading.read_captures`, `options.CaptureOptions`.
"""
