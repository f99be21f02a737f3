"""Servers of other people: Debian's PostgreSQL 15, over the network with TLS, behind PgBouncer, with few rights."""
