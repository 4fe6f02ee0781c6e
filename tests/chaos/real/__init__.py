"""Faults on the real stack: processes struck while tenants boot and delete, and what both sides hold afterwards."""
