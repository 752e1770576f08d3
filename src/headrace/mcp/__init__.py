"""Headrace's tools for language models, over the Model Context Protocol. A client of a running server, and no part of it."""
