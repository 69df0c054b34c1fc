"""Displays: plain data with a picture of it, one class per file."""
