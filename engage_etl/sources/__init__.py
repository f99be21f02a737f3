"""Where files come from: local folders, S3 and SFTP. Listed, read and moved there, each in its own way."""
