"""The one image path, and what image files may be and ask."""
