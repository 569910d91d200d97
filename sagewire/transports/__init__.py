"""How bytes travel: SageMaker, a caller's own boto3 client, and plain HTTP; sync and async."""
