"""Redis Streams as the log, its outbox and a sink; Redis 7.0 or newer, or Valkey."""
