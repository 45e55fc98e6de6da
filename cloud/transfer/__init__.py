"""Values out of a series store into files and back, and questions asked of one as dashboards ask them."""
