"""The network, what it starts from, how precisely it computes, and how it is kept on disk.

For the rooms above: `model.build_network` and `adamw`, `weights.load_weights`, `precision.choose_precision`,
`gradients.add_gradients` of a step, `checkpoint.Checkpoint`, of `snapshot` what is put back after a
diagnostic or in another process, of `one_pixel` another kind of convolution,
of `tokens` how a transformer's patches are maps,
and of `timm_networks` whose networks they are and how images are prepared for those.
"""
