"""hybridlearn."""
