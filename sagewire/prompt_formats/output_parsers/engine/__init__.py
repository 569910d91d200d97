"""The machinery that all output parsers share: markers, JSON and Python calls, and text that is still arriving."""
