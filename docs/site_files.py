"""Which files the site has: those of the repository that people read, in the repository's folders.

A hook of MkDocs. `README.md` is the first page, `docs/x.md` is `docs/x.html`, and each experiment's
README its own page, so that no text stands twice and a relative link leads to the same place on
GitHub and on the site.
"""

import pathlib

from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).resolve().parents[1]
READ = (
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "docs/*.md",
    "docs/*.jpg", "docs/*.css", "experiments/*/*.md", "experiments/*/*.png", "experiments/*/*.jpg",
    "experiments/slurm/train.sbatch",
)  # fmt: skip


def on_files(files, config):
    """What MkDocs found below `docs/` gives way to `READ`; what the theme brings stays."""
    found = sorted(path for pattern in READ for path in ROOT.glob(pattern))
    own = [
        File(path.relative_to(ROOT).as_posix(), str(ROOT), config.site_dir, False) for path in found
    ]
    theme = [file for file in files if file.src_dir != config.docs_dir]
    return Files([*theme, *own])


def on_page_markdown(markdown, page, config, files):
    """A page without neighbours needs no list of them: its tables get that room."""
    if page.parent is None:
        page.meta["hide"] = ["navigation"]
