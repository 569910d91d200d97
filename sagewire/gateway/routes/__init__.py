"""The gateway's routes: one file per kind."""
