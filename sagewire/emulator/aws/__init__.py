"""AWS itself: signatures, STS, S3, and SageMaker's control plane and runtime."""
