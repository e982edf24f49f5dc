"""Convolutions and norms in the form that suits the platform, with hand-written gradients."""
