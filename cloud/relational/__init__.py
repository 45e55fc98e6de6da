"""Registry, alarm log, cases, notifications and accounts: SQLAlchemy Core, SQLite here and PostgreSQL at work."""
