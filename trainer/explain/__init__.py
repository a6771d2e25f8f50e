"""Why a network says so: places that speak for a class, kernels, activation maps, a convolution by hand.

For the program: `command.look`. For the report: `page.render_fragment` of `explanation.NamedImage`s,
`saliency.saliency_maps` and `pictures` (of arrays).
"""
