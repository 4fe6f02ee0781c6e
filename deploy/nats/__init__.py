"""Keys and configuration of a NATS server for Cascade, without nsc."""
