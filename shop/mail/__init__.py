"""Mails: written out of the outbox, and handed over to a mail server or into a folder."""
