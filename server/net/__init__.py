"""Ports, TLS and health.

For the rooms above: `ports`, `tls.certificates_of`, `health.Health`.
"""
