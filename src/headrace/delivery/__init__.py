"""Deliveries to webhooks: signed, retried until accepted, and independent for each receiver."""
