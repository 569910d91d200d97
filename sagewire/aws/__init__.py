"""Who you are on AWS: sessions, signatures, and the settings a boto3 user has already made."""
