"""Decides which ids are one person, and what is known about people. Pure: statements and the state give the new state."""
