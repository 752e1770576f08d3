"""The wire dialects: parse bytes into events, and render responses as bytes. They never store, read the clock, or know HTTP."""
