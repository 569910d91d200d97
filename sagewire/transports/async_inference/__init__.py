"""SageMaker Asynchronous Inference behind the methods of the other transports."""

from sagewire.transports.async_inference.transport import AsyncDeferredTransport, DeferredTransport, Ticket

__all__ = ["AsyncDeferredTransport", "DeferredTransport", "Ticket"]
