"""An OpenAI server in front of every endpoint."""
