"""The wire dialects: parse bytes into events, render answers as bytes. None stores, reads the clock, or knows HTTP."""
