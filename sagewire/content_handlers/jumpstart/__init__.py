"""JumpStart's own containers."""
