"""Headrace: one server that speaks four event-tracking APIs over a single event store."""

__version__ = "0.3.0.dev0"
