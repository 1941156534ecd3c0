"""Reviews of finalists: what is measured of a few edited models after the search, and how sure its figures are."""
