"""Words and pure rules: what an event, a time, a filter, a key is. No I/O."""
