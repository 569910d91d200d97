"""AWS's Large Model Inference containers (DJL serving)."""
