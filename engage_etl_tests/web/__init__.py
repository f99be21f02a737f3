"""The web page of ``engage-etl up`` and the report, looked at in a browser."""
