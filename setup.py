"""Which packages a wheel holds; all else stands in pyproject.toml.

The configs lie beside the package, where people edit them, and travel inside it: no name such as
`configs` is left lying about at the top of a site-packages folder.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["ppocr_jax", "ppocr_jax.*"]), "ppocr_jax.configs"],
    package_dir={"ppocr_jax.configs": "configs"},
)
