"""The contract between the bridge and the site agents, and the road it travels."""
