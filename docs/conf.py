"""How Sphinx builds these pages (``make docs``): tutorials run against the simulator, and nothing needs a network."""

from importlib.metadata import version as installed_version

project = "heygen-avatar"
copyright = "the authors of heygen-avatar, MIT license"
release = version = installed_version(project)

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_nb"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = f"heygen-avatar {release}"
html_copy_source = False

# A tutorial that fails fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_in_temp = True
nb_merge_streams = True
nb_ipywidgets_js = {}  # their default is a script from a CDN
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "__new__, __init__"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attrs' fields have entries of their own already
