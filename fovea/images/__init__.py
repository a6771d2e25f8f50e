"""The one image path, and what image files may be and ask.

For the programs: `spec.PreprocessSpec`, `preprocess` (`decode_image`, or `open_image` and `crop_image`),
`formats.image_path`, `names` and `kinds` (what is an image), `passed_over.PassedOver` (what is none), and of
`values` and `metadata` what sends pictures.
"""
