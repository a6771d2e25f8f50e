"""Ports, TLS and health."""
