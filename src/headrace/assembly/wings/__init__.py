"""The wings of a server: one file for each part of it that could be thought away, with one function that makes it.

A function takes what is open (`Adapters`, `ControlAdapters`) and the wings that it builds on, and returns the parts that others
use. What a wing has to tell those that are made after it goes through `Signals`. `assembly/runtime.py` puts them in order.
"""
