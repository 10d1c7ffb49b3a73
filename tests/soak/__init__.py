"""Faults and hostile input, in bulk: `make soak` runs all for half an hour, `make test` a fixed short part of each."""
