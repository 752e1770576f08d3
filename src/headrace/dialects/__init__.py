"""One file per wire dialect: bytes to events, answers to bytes. None stores, asks the clock, or knows HTTP."""
