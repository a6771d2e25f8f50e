"""The port of the calls: answered by this process, or by several that share it, the fronts.

For the rooms above: `call_server` (`CallServer`, `Door`), `fronts.Fronts` with its `page`, `count.fronts_of`.
"""
