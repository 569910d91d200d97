"""Built-in prompt formats, one file per lineage of models."""
