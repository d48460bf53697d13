"""``scalekit logs fsck``."""
