"""Binds ports of hosts that stand for cascaded sites, in the cascading cloud's Neutron."""
