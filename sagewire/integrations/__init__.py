"""Skins over sagewire for other people's frameworks; they hold no wire knowledge."""
