"""The commands that export adds to `framescore`; each loads what it needs when it runs."""
