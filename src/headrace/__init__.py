"""Headrace: one server that speaks four event-tracking APIs over a single event store."""

__version__ = "0.2.0"
