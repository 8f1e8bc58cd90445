//! A cluster, by scripts/test-cluster.
