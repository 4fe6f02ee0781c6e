"""The whole of Cascade on one machine: three real clouds, one bridge, two agents, and VMs booted through the top."""
