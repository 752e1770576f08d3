"""Headrace: four Events APIs, one event store."""

__version__ = "0.1.0"
