"""The estimators: parameters, targets and what trains them; public at the root."""
