"""How time and memory grow with the network, up to 100 million connections."""

# Share of the connections that an evolution replaces.
ZETA = 0.3
