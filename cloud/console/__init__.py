"""The operations page: serves the bundle that `make console` builds from console/ into dist/ beside this file."""
