"""Deliveries to webhooks: signed, attempted until they are taken, and each receiver for itself."""
