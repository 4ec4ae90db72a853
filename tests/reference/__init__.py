"""Slow, obvious loops that the fast code must equal."""
