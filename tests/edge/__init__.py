"""The parts of http/ by themselves, without a server: what clients see of them is in tests/http."""
