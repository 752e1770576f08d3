"""One file per wire dialect. Each translates bytes to events and answers to bytes; none stores, asks the clock or knows HTTP."""
