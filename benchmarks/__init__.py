"""Measurements that are too long or too noisy for tests; see the packages inside."""
