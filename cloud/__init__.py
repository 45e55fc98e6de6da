"""The cloud: ingest, series store, registry, alarms, cases, notifications, API and console."""
