"""Name the endpoint, and it is a first-class model in every framework."""
