"""Maintenance: check, relearn, erase, quarantine, diagnosis."""
