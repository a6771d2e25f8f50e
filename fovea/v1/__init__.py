"""Messages and stubs of fovea.v1.Classifier, generated from proto/."""
