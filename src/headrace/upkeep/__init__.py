"""Compares and mends: check, relearn."""
