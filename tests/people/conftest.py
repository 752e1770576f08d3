"""The reactor of tests/reactions, over a control database of its own."""

from tests.reactions.conftest import machine

__all__ = ["machine"]
