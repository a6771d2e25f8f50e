"""report.html: what happened in training, in one file for the people who decide whether to ship.

For the release: `page.render_report` with its `contents.Evidence`, `released` (a release's files, described)
and `verdict` (`judge`: should it be shipped?); of a multi-label model `labels_page.render_labels_report` and
`label_verdict`. For the commands: `rate_curve.write_curve` (lr_find.png).
"""
