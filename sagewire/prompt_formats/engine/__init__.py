"""The machinery that all prompt formats share: turns, tools, and the guard against control tokens in content."""
