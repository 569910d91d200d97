"""Input, output and storage of bulk jobs."""
