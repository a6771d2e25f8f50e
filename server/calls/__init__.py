"""Calls of fovea.v1.Classifier, and what calls of every service go through: limits, admission, log, end."""
