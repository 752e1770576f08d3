"""Compares, mends and removes: check, relearn, erase."""
