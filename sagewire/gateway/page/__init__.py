"""The gateway's one page, as a file."""
