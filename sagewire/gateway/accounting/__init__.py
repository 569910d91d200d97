"""Usage of keys and models: the database, its writer, metrics and tracing."""
