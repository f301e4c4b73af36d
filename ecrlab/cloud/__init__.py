"""The embedded AWS: one process, one port, a complete registry and its neighbours."""
