"""How long compiling takes, and what updates and compilations took last time."""
