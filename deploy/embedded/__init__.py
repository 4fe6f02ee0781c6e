"""A private nats-server and etcd from local binaries on loopback, for the demo and for tests."""
