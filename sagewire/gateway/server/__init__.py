"""The gateway as a server: the ASGI application, its process and workers, reloading."""
