"""Detection of an endpoint's container: from the control plane, from an HTTP server's own words, or by probing."""
