"""Measurements that decide things: ``python -m benchmarks [NAME ...]``; see README.md."""
