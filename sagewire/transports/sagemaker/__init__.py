"""SageMaker endpoints: sagewire's own transport, and one over a caller's own boto3 client."""

from sagewire.transports.sagemaker.transport import AsyncSageMakerTransport, SageMakerTarget, SageMakerTransport

__all__ = ["AsyncSageMakerTransport", "SageMakerTarget", "SageMakerTransport"]
