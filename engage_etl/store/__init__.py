"""The store: PostgreSQL, embedded or external; its tables, migrations and registers."""
