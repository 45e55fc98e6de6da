"""The steps from an empty database to the schema of `cloud.relational.tables`; they travel in the wheel."""
