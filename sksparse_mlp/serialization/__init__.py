"""Fitted networks as plain arrays, and the files that hold them."""
